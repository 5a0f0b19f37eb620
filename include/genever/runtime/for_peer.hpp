// Work that is done for whoever is at the other end of a connection, and for no longer than he is there.
#pragma once

#include <genever/base/clock.hpp>
#include <genever/runtime/detail/timer.hpp>
#include <genever/runtime/io.hpp>
#include <genever/runtime/task.hpp>
#include <genever/runtime/timeout.hpp>

#include <coroutine>
#include <cstdint>
#include <expected>
#include <utility>

namespace genever {

/// Why work for a peer was destroyed before its end.
enum class work_ended : std::uint8_t {
    timeout,   ///< its deadline had passed
    peer_gone, ///< nobody is there to take its result
};

/// When a peer counts as gone.
enum class gone_when : std::uint8_t {
    half_closed, ///< when he sends no more, as most do who leave
    broken,      ///< only when the connection is broken
    never,       ///< the work is done without him, too
};

namespace detail {

class [[nodiscard("co_await it")]] for_peer_awaiter : scope {
public:
    for_peer_awaiter(io_handle& io, gone_when gone, time_point deadline, task<> work) noexcept
        : io_(io), work_(std::move(work)), deadline_(deadline), gone_(gone) {
        destroy = [](scope& s) noexcept { static_cast<for_peer_awaiter&>(s).work_ = task<>{}; };
    }
    for_peer_awaiter(const for_peer_awaiter&) = delete;
    ~for_peer_awaiter() {
        if (frame_) finish();
    }

    bool await_ready() const noexcept { return work_.empty(); }
    template <task_promise_type P>
    void await_suspend(std::coroutine_handle<P> h) noexcept {
        process& p = static_cast<process&>(*h.promise().self);
        parent = h;
        enter(p);
        const wait_ticket me{&p, p.generation};
        timer_.what = timer_node::action::interrupt;
        timer_.ticket = me;
        timer_.scope_number = number;
        if (deadline_ != time_point::max()) arm(timer_, deadline_);
        frame_ = work_.start(p, h);
        if (gone_ == gone_when::never) return;
        watch_.half_close_too = gone_ == gone_when::half_closed;
        watch_.process_and_use = me;
        watch_.scope_number = number;
        io_.call_off_on_hangup(watch_);
    }
    std::expected<void, work_ended> await_resume() {
        if (!frame_) return {};
        const bool gone = finish();
        frame_ = nullptr;
        if (work_.empty()) return std::unexpected(gone ? work_ended::peer_gone : work_ended::timeout);
        work_.result();
        return {};
    }

private:
    bool finish() noexcept {
        watch_.end();
        disarm(timer_);
        leave();
        return watch_.gone;
    }

    io_handle& io_;
    task<> work_;
    time_point deadline_;
    std::coroutine_handle<> frame_;
    timer_node timer_;
    hangup_watch watch_;
    gone_when gone_;
};

} // namespace detail

/// Awaits `work`, but no longer than until `deadline`, and no longer than the peer of the connection `io` is there: then
/// its frames are destroyed at the point where they are suspended, innermost first, as a kill does. Work that does not
/// suspend is not interrupted. An exception of the work is rethrown. One at a time for each `io`, which must outlive it; whether
/// the peer has gone is told by the poller, also while nobody reads.
inline detail::for_peer_awaiter for_peer(io_handle& io, gone_when gone, time_point deadline, task<> work) {
    return {io, gone, deadline, std::move(work)};
}

} // namespace genever
