// What runs a gen_statem, whatever its type: the queues of events, the timers, and the order of a transition.
//
//     the mailbox, or a timer that has fired ──▶ queue ──▶ current ──▶ handler ──▶ outcome
//                                                 ▲ ▲         │
//                 inserted events: before the others │        └── postponed ──┐
//                                   └────── at a change of the state ─────────┘
//
// An event is a message of the mailbox from its arrival to the end of its handling, also while it is postponed: a call
// that is never answered fails with the reason for which its owner let go of it.
#pragma once

#include <genever/base/clock.hpp>
#include <genever/base/exit_reason.hpp>
#include <genever/otp/detail/server_core.hpp>
#include <genever/otp/detail/server_message.hpp>
#include <genever/runtime/task.hpp>
#include <genever/runtime/time.hpp>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace genever::detail {

struct statem_state {
    std::size_t index; // in the list of states
    explicit statem_state(std::size_t i) noexcept : index(i) {}
    virtual ~statem_state() = default;
};
template <class T>
struct statem_state_of final : statem_state {
    T value;
    statem_state_of(std::size_t i, T v) : statem_state(i), value(std::move(v)) {}
};

enum class statem_timer : std::uint8_t { state, event, named };

/// Starts a timer anew, or without an event stops it.
struct statem_timer_action {
    statem_timer kind;
    std::string name;
    duration after;
    held_message event;
};

/// What a handler wants to happen.
struct statem_outcome {
    std::unique_ptr<statem_state> next; // null: the state is kept
    bool repeat = false;
    bool postpone = false;
    std::optional<exit_reason> stop;
    std::vector<held_message> inserted;
    std::vector<statem_timer_action> timers;
};

/// At once, or by a task.
struct statem_step {
    statem_outcome now;
    task<statem_outcome> later;
    bool waits = false;
};

struct statem_message_type : server_message_type {
    /// Hands the event to the handler for the current state. Leaves the event where it is, unless somebody has taken it over.
    statem_step (*step)(held_message& event, void* server);
};

class statem_core {
public:
    using enter_call = statem_step (*)(void* server);
    using tick_maker = message* (*)(std::uint64_t number);

    void set_up(server_core& core, enter_call enter, tick_maker tick) noexcept {
        core_ = &core;
        enter_ = enter;
        tick_ = tick;
    }
    void set_first(statem_outcome o) { first_.emplace(std::move(o)); }

    statem_state* state() const noexcept { return state_.get(); }

    /// The first state is entered.
    task<> begin();
    task<> take(held_message& event);
    task<> fired(std::uint64_t number);

private:
    struct queued {
        held_message event;
        std::uint64_t timer; // of zero length, which may be stopped yet; 0: none
    };
    struct timer {
        statem_timer kind;
        std::string name;
        std::uint64_t number;
        timer_ref ref;
        held_message event; // empty: it is in the queue
    };

    task<> run();
    task<> apply(statem_outcome o, bool initial);
    void stop_timer(statem_timer kind, const std::string& name) noexcept;
    void start_timer(statem_timer_action a);

    server_core* core_ = nullptr;
    enter_call enter_ = nullptr;
    tick_maker tick_ = nullptr;
    std::optional<statem_outcome> first_;
    std::unique_ptr<statem_state> state_;
    held_message current_{nullptr};
    std::deque<queued> queue_;
    std::vector<held_message> postponed_;
    std::vector<timer> timers_;
    std::uint64_t last_timer_ = 0;
};

} // namespace genever::detail
