// Waiting for one particular message of the system lane, as Erlang's selective receive: all others stay where they are.
#pragma once

#include <genever/base/clock.hpp>
#include <genever/runtime/detail/process.hpp>
#include <genever/runtime/detail/timer.hpp>
#include <genever/runtime/message.hpp>

#include <coroutine>

namespace genever::detail {

/// `co_await system_wait{wanted, context, deadline}` gives the first message of the system lane for which
/// `wanted(message, context)` holds; null at the deadline. `wanted` runs under the process's lock: only look.
class system_wait : public mail_waiter {
public:
    using predicate = bool (*)(const message&, const void* context) noexcept;

    system_wait(predicate wanted, const void* context, time_point deadline) noexcept;
    system_wait(const system_wait&) = delete;
    ~system_wait();

    bool await_ready() noexcept;
    template <task_promise_type P>
    void await_suspend(std::coroutine_handle<P> h) noexcept {
        suspend(static_cast<process&>(*h.promise().self), h);
    }
    message_ptr await_resume() noexcept { return std::move(found_); }

private:
    static bool woken(mail_waiter& w, process& p) noexcept;
    void suspend(process& p, std::coroutine_handle<> h) noexcept;
    bool look(process& p) noexcept;
    void wait(process& p) noexcept;

    predicate wanted_;
    const void* context_;
    time_point deadline_;
    message* seen_ =
        nullptr; // up to here nothing is wanted; only we take messages out, so it stays in the list
    message_ptr found_;
    bool looked_ = false;
    bool waiting_ = false;
    timer_node timer_;
};

/// Takes the first such message that is there already, or null. The process's own thread.
message_ptr take_system_message(process& p, system_wait::predicate wanted, const void* context) noexcept;

template <class T>
const T* value_in(const message& m) noexcept {
    return m.type == &value_message<T>::type_of ? &static_cast<const value_message<T>&>(m).value : nullptr;
}

/// Predicates: the exit signal of the `pid`, the down of the `monitor_ref` that the context points to.
inline bool is_exit_of(const message& m, const void* who) noexcept {
    auto* s = value_in<exit_signal>(m);
    return s && s->from == *static_cast<const pid*>(who);
}
inline bool is_down_of(const message& m, const void* ref) noexcept {
    auto* d = value_in<down>(m);
    return d && d->ref == *static_cast<const monitor_ref*>(ref);
}

} // namespace genever::detail
