#include "poller.hpp"

#include "runtime_core.hpp"

#include <genever/runtime/io.hpp>
#include <genever/runtime/timeout.hpp>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <new>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <system_error>
#include <time.h>
#include <unistd.h>

namespace genever::detail {

namespace {

struct io_slots {
    spinlock lock;
    io_slot* free = nullptr;
};

io_slots& slots() {
    alignas(io_slots) static unsigned char storage[sizeof(io_slots)];
    static auto* s = new (storage) io_slots; // never destroyed: late events may still look
    return *s;
}

constexpr std::uint64_t interrupt_key = ~std::uint64_t{0};

// What an event carries: the slot's address (48 bits on x86-64 and aarch64) and the generation of its use.
constexpr unsigned address_bits = 48;
std::uint64_t key_of(const io_slot& s) noexcept {
    return reinterpret_cast<std::uintptr_t>(&s) | std::uint64_t{s.generation} << address_bits;
}
io_slot& slot_of(std::uint64_t key) noexcept {
    return *reinterpret_cast<io_slot*>(key & ((std::uint64_t{1} << address_bits) - 1));
}

} // namespace

void deliver_edge(io_slot& s, std::uint16_t use, bool write, wait_ticket waiting) noexcept {
    while (!wake(waiting)) {
        spin_guard g{s.lock};
        if (s.fd < 0 || s.generation != use) return;
        waiting = std::exchange(write ? s.writer : s.reader, {});
        if (!waiting.p) {
            s.note_edge(write);
            return;
        }
    }
}

io_slot* take_io_slot() {
    auto& all = slots();
    {
        spin_guard g{all.lock};
        if (io_slot* s = all.free) {
            all.free = s->next_free;
            return s;
        }
    }
    // In the pool: beside what is freed on the heap it would keep that resident.
    return new (pool_allocate(sizeof(io_slot))) io_slot;
}

void give_io_slot(io_slot* s) noexcept {
    auto& all = slots();
    spin_guard g{all.lock};
    s->next_free = all.free;
    all.free = s;
}

poller::poller() : epoll_(epoll_create1(EPOLL_CLOEXEC)), event_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    epoll_event e{.events = EPOLLIN | EPOLLET, .data = {.u64 = interrupt_key}};
    if (epoll_ < 0 || event_ < 0 || epoll_ctl(epoll_, EPOLL_CTL_ADD, event_, &e) != 0) {
        const int why = errno;
        if (epoll_ >= 0) ::close(epoll_);
        if (event_ >= 0) ::close(event_);
        throw std::system_error(why, std::generic_category(), "genever: cannot make a poller");
    }
}

poller::~poller() {
    ::close(event_);
    ::close(epoll_);
}

void poller::add(io_slot& s) {
    s.home = this;
    epoll_event e{.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data = {.u64 = key_of(s)}};
    if (epoll_ctl(epoll_, EPOLL_CTL_ADD, s.fd, &e) != 0)
        throw std::system_error(errno, std::generic_category(), "genever: cannot register a descriptor");
    registered_.fetch_add(1, std::memory_order_relaxed);
}

void poller::take_out(int fd) noexcept { epoll_ctl(epoll_, EPOLL_CTL_DEL, fd, nullptr); }

void poller::interrupt() noexcept {
    const std::uint64_t one = 1;
    // An edge comes with every write, whether or not the count was read in between; EAGAIN needs 2^64 of them.
    [[maybe_unused]] auto n = ::write(event_, &one, sizeof one);
}

namespace {

/// Waits with the precision that the system has: epoll_pwait2 came with Linux 5.11, and some sandboxes refuse it.
int wait_for_events(int epoll, epoll_event* events, int most, std::int64_t timeout) noexcept {
    static std::atomic<bool> to_the_nanosecond{true};
    if (timeout == 0) return epoll_wait(epoll, events, most, 0);
    if (to_the_nanosecond.load(std::memory_order_relaxed)) {
        const timespec wait{timeout / 1'000'000'000, timeout % 1'000'000'000};
        const int n = epoll_pwait2(epoll, events, most, timeout < 0 ? nullptr : &wait, nullptr);
        if (n >= 0 || (errno != ENOSYS && errno != EPERM)) return n;
        to_the_nanosecond.store(false, std::memory_order_relaxed);
    }
    // Rounded up: a timer never fires early, and a wait that is too short would spin.
    const std::int64_t ms = timeout < 0 ? -1 : std::min<std::int64_t>((timeout - 1) / 1'000'000 + 1, 60'000);
    return epoll_wait(epoll, events, most, static_cast<int>(ms));
}

} // namespace

bool poller::poll(std::int64_t timeout) noexcept {
    bool interrupted = false;
    epoll_event events[128];
    const int n = wait_for_events(epoll_, events, 128, timeout);
    const std::int64_t time = n > 0 ? system_now() : 0;
    for (int i = 0; i < n; ++i) {
        if (events[i].data.u64 == interrupt_key) {
            interrupted = true;
            continue;
        }
        io_slot& s = slot_of(events[i].data.u64);
        const std::uint32_t what = events[i].events;
        wait_ticket reader;
        wait_ticket writer;
        process* called_off = nullptr;
        {
            spin_guard g{s.lock};
            if (s.fd < 0 || key_of(s) != events[i].data.u64) continue;
            if (what & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) s.read_closed = true;
            if (what & (EPOLLHUP | EPOLLERR)) s.write_closed = true;
            if (what & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) {
                if (!s.stamped) s.readable_at.store(time, std::memory_order_relaxed);
                s.stamped = true;
                s.read_edge = s.reader.p == nullptr;
                reader = std::exchange(s.reader, {});
            }
            if (what & (EPOLLOUT | EPOLLHUP | EPOLLERR)) {
                s.write_edge = s.writer.p == nullptr;
                writer = std::exchange(s.writer, {});
            }
            called_off = s.look_after_hangup();
        }
        if (called_off) push_ready(*called_off);
        const auto use = static_cast<std::uint16_t>(events[i].data.u64 >> address_bits);
        if (reader.p) deliver_edge(s, use, false, reader);
        if (writer.p) deliver_edge(s, use, true, writer);
    }
    return interrupted;
}

} // namespace genever::detail
