// Waiting for a descriptor: the seam between the scheduler's poller and what reads and writes.
#pragma once

#include <genever/base/clock.hpp>
#include <genever/runtime/detail/timer.hpp>
#include <genever/runtime/process.hpp>

#include <coroutine>
#include <cstdint>
#include <utility>

namespace genever {

namespace detail {

struct io_slot;

/// Calls a scope off when the peer is gone. Lies with who has entered that.
struct hangup_watch {
    hangup_watch() = default;
    hangup_watch(const hangup_watch&) = delete;
    ~hangup_watch() { end(); }
    /// After the return nothing touches it.
    void end() noexcept;

    wait_ticket process_and_use; // `interrupt`'s
    std::uint64_t scope_number = 0;
    bool half_close_too = true; // a peer that sends no more is gone
    bool gone = false;          // he was, and it has been called off
    io_slot* slot = nullptr;    // whose lock guards it, while it watches
};

} // namespace detail

class posted_send;

/// How a wait for readiness ended.
enum class io_result : std::uint8_t {
    ready,   ///< try the operation (it may still say EAGAIN: then wait again)
    timeout, ///< the deadline came first
    closed,  ///< somebody called `shut` or `nudge`
};

/// Whether a descriptor's open file is this program's alone. One that others hold as well (a listening socket that was
/// inherited) stays in the poller when it is closed here, so it is taken out first, which costs a system call.
enum class io_file : std::uint8_t { own, shared };

/// Owns a non-blocking descriptor and its place in a worker's poller (edge-triggered epoll). One process reads and
/// one writes at a time, possibly the same one; `shut` and `nudge` may be called from any process or thread.
///
/// The use: try the operation; on EAGAIN wait; try again. An edge that came in between is remembered, also one that
/// came while a wait ended by its deadline or by a kill: the next wait then ends at once. After a read that gave less than was asked for, the caller may wait at once (epoll(7), question 9).
class io_handle {
public:
    io_handle() noexcept = default;
    /// Takes over `fd`, which must be non-blocking, and registers it with a worker's poller; the workers take
    /// turns. To be called inside a runtime. Throws std::system_error when the system refuses; `fd` is closed
    /// then.
    explicit io_handle(int fd, io_file file = io_file::own);
    io_handle(io_handle&& o) noexcept : slot_(std::exchange(o.slot_, nullptr)) {}
    io_handle& operator=(io_handle&& o) noexcept {
        std::swap(slot_, o.slot_);
        return *this;
    }
    ~io_handle();

    explicit operator bool() const noexcept { return slot_ != nullptr; }
    /// The descriptor; -1 when there is none. It stays open as long as the handle.
    int fd() const noexcept;
    /// Wakes whoever waits with `closed`, and makes every later wait answer so. The descriptor itself is closed
    /// with the handle. Any thread.
    void shut() noexcept;
    /// Ends the current wait for reading, or the next one if there is none, with `closed`, once. Any process or
    /// thread.
    void nudge() noexcept;
    /// Whether the peer has closed its sending side, or the connection is broken, as far as the poller has seen.
    bool hung_up() const noexcept;
    /// When the poller first saw something to read after the last wait for reading had begun, or as long as that has not
    /// happened, before it; the clock's zero when it never has.
    time_point readable_since() const noexcept;

    // ---- for runtime/for_peer.hpp
    /// Calls the scope off (as `interrupt` does) when the peer is gone, now or later. One at a time: it ends the watch before.
    void call_off_on_hangup(detail::hangup_watch& w) noexcept;
    /// Ends whoever's watch there is. By the process that it calls off, which takes that back where it has not come to pass.
    void keep_on_hangup() noexcept;

    class [[nodiscard("co_await it")]] wait_awaiter {
    public:
        wait_awaiter(detail::io_slot* s, bool write, time_point deadline) noexcept : slot_(s), write_(write) {
            timer_.deadline = deadline.time_since_epoch().count(); // until it is armed
        }
        wait_awaiter(const wait_awaiter&) = delete;
        ~wait_awaiter();

        bool await_ready() noexcept;
        template <detail::task_promise_type P>
        void await_suspend(std::coroutine_handle<P> h) noexcept {
            suspend(static_cast<detail::process&>(*h.promise().self), h);
        }
        io_result await_resume() noexcept;

    private:
        bool look() noexcept;
        void leave() noexcept;
        bool nudged() const noexcept;
        void suspend(detail::process& p, std::coroutine_handle<> h) noexcept;

        detail::io_slot* slot_;
        // Its ticket is the wait's, armed or not; null: it does not wait.
        [[no_unique_address]] detail::timer_node timer_;
        // In the padding of that.
        bool write_;
        bool over_ = false; // found without waiting, and not gone on yet
        io_result result_ = io_result::ready;
    };

    /// Waits until reading may make progress, or the deadline. The handle must outlive the wait.
    wait_awaiter readable(time_point deadline = time_point::max()) noexcept {
        return {slot_, false, deadline};
    }
    /// Waits until writing may make progress, or the deadline.
    wait_awaiter writable(time_point deadline = time_point::max()) noexcept {
        return {slot_, true, deadline};
    }

private:
    friend class posted_send;

    detail::io_slot* slot_ = nullptr;
};

} // namespace genever
