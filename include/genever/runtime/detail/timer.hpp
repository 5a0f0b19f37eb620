// The timer that lies in an awaiter or in an entry of its own, linked into a worker's wheel.
#pragma once

#include <genever/base/clock.hpp>
#include <genever/runtime/detail/process.hpp>

#include <atomic>
#include <cstdint>

namespace genever::detail {

class timer_wheel;

/// One armed or idle timer. Its wheel's lock guards all fields while it is armed. Whoever owns the memory
/// cancels it before the memory goes.
struct timer_node {
    enum class action : std::uint8_t {
        wake,      // ends the suspension `ticket` with wake_reason::timeout
        interrupt, // calls off the scope `scope_number` of the process `ticket.p`
        entry,     // the node is a timer_entry: fires it
    };

    timer_node* prev = nullptr;
    timer_node* next = nullptr;
    timer_wheel* wheel = nullptr; // set when armed, and kept: which lock to take for a cancel
    std::int64_t deadline = 0;    // nanoseconds on the runtime's clock, then ticks while armed
    wait_ticket ticket;
    std::uint64_t scope_number = 0;
    action what = action::wake;
    std::atomic<bool> armed{
        false}; // written under the wheel's lock; false is the last thing a firing does to a node
    bool pending =
        false; // armed by a length of time; `deadline` is that length until the wheel next reads the clock

    timer_node() = default;
    timer_node(const timer_node&) = delete;
    timer_node& operator=(const timer_node&) = delete;
};

/// Arms the timer on the current worker's wheel (any worker's on a thread that has none).
void arm(timer_node& t, time_point when) noexcept;
/// Arms the timer to fire not before `d` has passed. Cheaper than `arm`, since it reads no clock: the time runs from the
/// worker's next look at it, a few microseconds later.
void arm_after(timer_node& t, duration d) noexcept;
/// Gives an armed timer another ticket. False, and nothing changes, when it is not armed (any more).
bool retarget(timer_node& t, wait_ticket ticket) noexcept;
/// Takes it off its wheel. True when it had not fired yet. After the return nothing touches the node; a wake that was
/// on its way already (false) ends the suspension it was armed for, if that is still there, and no other. No effect on
/// a timer that was never armed.
bool disarm(timer_node& t) noexcept;

} // namespace genever::detail
