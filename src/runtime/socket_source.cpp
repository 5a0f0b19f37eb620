#include <genever/runtime/socket_source.hpp>

#include <genever/runtime/process.hpp>
#include <genever/runtime/receive.hpp>

#include <atomic>
#include <mutex>
#include <utility>

namespace genever {

namespace {

std::mutex lock;
std::shared_ptr<socket_source> installed;
std::atomic<pid> gate{};

struct opened {};

task<> tell_at_the_end(pid p, pid whom) {
    monitor(p); // `noproc` at once if it has ended meanwhile
    co_await receive([](const down&) {});
    send(whom, opened{});
}

} // namespace

void install_socket_source(std::shared_ptr<socket_source> source) noexcept {
    std::lock_guard g{lock};
    installed.swap(source);
}

std::shared_ptr<socket_source> installed_socket_source() noexcept {
    std::lock_guard g{lock};
    return installed;
}

void set_accept_gate(pid p) noexcept { gate.store(p, std::memory_order_relaxed); }

bool accepting_is_held() noexcept { return static_cast<bool>(gate.load(std::memory_order_relaxed)); }

task<> until_accepting() {
    const pid p = gate.load(std::memory_order_relaxed);
    if (!p) co_return;
    // A process of its own: in the caller's mailbox a `down` could be for somebody else.
    spawn(tell_at_the_end, p, self());
    co_await receive([](opened) {});
}

} // namespace genever
