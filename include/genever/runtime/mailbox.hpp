// Bounded mailboxes: the limit, and sending that waits for room.
#pragma once

#include <genever/base/pid.hpp>
#include <genever/runtime/detail/process.hpp>
#include <genever/runtime/detail/waiting_send.hpp>
#include <genever/runtime/mailbox_limit.hpp>
#include <genever/runtime/message.hpp>

#include <coroutine>
#include <cstddef>
#include <type_traits>
#include <utility>

namespace genever {

/// Limits the mailbox of the calling process (`spawn_options::mailbox` does so from the start) and returns the limit
/// that it had before. What is there already stays, also where it is more than the limit. A server calls it in `init`.
/// Throws std::invalid_argument for a capacity of 0.
///
/// A `receive` that does not want what fills its mailbox is not ended by what waits outside: who receives selectively
/// from a bounded mailbox drains it now and then.
mailbox_limit set_mailbox_limit(mailbox_limit limit);

namespace detail {

class [[nodiscard("co_await it")]] send_wait_awaiter : public mail_waiter {
public:
    send_wait_awaiter(pid to, message* m) noexcept : to_(to), message_(m) {
        over = &send_wait_awaiter::woken;
    }
    send_wait_awaiter(const send_wait_awaiter&) = delete;
    ~send_wait_awaiter();

    bool await_ready() {
        process& p = require_process("send_wait");
        return may_continue(p) && attempt(p);
    }
    template <task_promise_type P>
    void await_suspend(std::coroutine_handle<P> h) noexcept {
        auto& p = static_cast<process&>(*h.promise().self);
        p.resume_point = h;
        // Over its budget it sends nothing, since it may be destroyed before it runs again: it does when it is its turn.
        if (attempted_)
            line_up(p);
        else
            wait_for_mail(p, *this, parking::requeue);
    }
    send_result await_resume() noexcept;

private:
    static bool woken(mail_waiter& w, process& p) noexcept;
    bool attempt(process& p) noexcept;
    bool send_in_turn(process& p) noexcept;
    void line_up(process& p) noexcept;

    pid to_;
    message* message_; // null: it has been sent
    bool attempted_ = false;
    send_result result_ = send_result::noproc;
    waiting_send place_;
};

template <class T>
constexpr void refuse_miscompiled_message() {
#if defined(__GNUC__) && !defined(__clang__) && __GNUC__ < 13
    static_assert(std::is_lvalue_reference_v<T> || !std::is_aggregate_v<T> ||
                      std::is_trivially_destructible_v<T>,
                  "genever: GCC 12 miscompiles co_await send_wait(to, message{...}); write co_await "
                  "send_wait<message>(to, ...)");
#endif
}

} // namespace detail

/// Sends T{args...} to a process, and waits while its mailbox is full, whatever the policy: `co_await
/// send_wait<T>(to, args...)`. Those who wait are served in the order in which they came, before any plain `send`. Gives
/// `delivered`; `noproc` when the receiver has ended, before or meanwhile; `full`, at once, for a process that sends to
/// itself and would wait for itself. For processes; the receiver may belong to another runtime.
///
/// Killed or timed out while it waits, nothing has been sent and never will be; the message is dropped.
template <class T, class... Args>
detail::send_wait_awaiter send_wait(pid to, Args&&... args) {
    return {to, detail::new_message<detail::value_message<T>>(T{std::forward<Args>(args)...})};
}
/// The same for a value that exists already.
///
/// GCC 12 destroys an aggregate's members twice when it is made inside a co_await expression, so there
/// `co_await send_wait(to, message{text})` is refused; `co_await send_wait<message>(to, text)` does the same.
template <std::nullptr_t = nullptr, class T>
detail::send_wait_awaiter send_wait(pid to, T&& value) {
    detail::refuse_miscompiled_message<T>();
    return {to, detail::new_message<detail::value_message<std::decay_t<T>>>(std::forward<T>(value))};
}

} // namespace genever
