// A reference to a server by its name or pid: cast and call.
#pragma once

#include <genever/base/clock.hpp>
#include <genever/base/pid.hpp>
#include <genever/otp/call_error.hpp>
#include <genever/otp/detail/server_message.hpp>
#include <genever/otp/via_name.hpp>
#include <genever/runtime/detail/timer.hpp>
#include <genever/runtime/detail/waiting_send.hpp>
#include <genever/runtime/process.hpp>

#include <chrono>
#include <coroutine>
#include <cstddef>
#include <expected>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace genever {

/// How long a call waits for its answer unless it says otherwise: OTP's 5 seconds.
inline constexpr duration default_call_timeout = std::chrono::seconds{5};

namespace detail {

/// The waiting of a call, whatever its types. Owns the request until it is posted.
class call_wait {
public:
    call_wait(const call_wait&) = delete;
    call_wait& operator=(const call_wait&) = delete;

    bool await_ready() const noexcept { return false; }
    template <task_promise_type P>
    void await_suspend(std::coroutine_handle<P> h) {
        suspend(static_cast<process&>(*h.promise().self), h);
    }

protected:
    call_wait(const std::string& name, pid to, request* q, call_slot_base& slot, duration timeout) noexcept
        : name_(name), to_(to), request_(q), slot_(slot), timeout_(timeout) {}
    ~call_wait();

    /// After the wait: nothing if there is an answer.
    bool answered() noexcept;
    call_error error() const;

private:
    void suspend(process& p, std::coroutine_handle<> h);

    const std::string& name_; // the server_ref's
    pid to_;
    request* request_;
    const std::type_info* message_ = request_->type->payload;
    call_slot_base& slot_;
    duration timeout_;
    timer_node timer_;
    waiting_send place_; // of the request, while a full mailbox whose policy is `wait` keeps it outside
};

/// `Throws` says whether failure is an exception or an unexpected value.
template <class R, bool Throws>
class [[nodiscard("co_await it")]] call_awaiter : private call_slot<R>, public call_wait {
public:
    call_awaiter(const std::string& name, pid to, request* q, duration timeout) noexcept
        : call_wait(name, to, q, static_cast<call_slot<R>&>(*this), timeout) {}

    auto await_resume() {
        if constexpr (Throws) {
            if (!this->answered()) throw this->error();
            if constexpr (!std::is_void_v<R>) return R(std::move(*this->value));
        } else {
            using result = std::expected<R, call_error>;
            if (!this->answered()) return result(std::unexpect, this->error());
            if constexpr (std::is_void_v<R>)
                return result();
            else
                return result(std::in_place, std::move(*this->value));
        }
    }
};

} // namespace detail

/// A reference to a server of type S. By name it follows the name: whoever has it when a message is sent, after
/// every restart the new process. A value: copy it, capture it. All functions are callable in processes of the
/// server's runtime.
template <class S>
class server_ref {
public:
    explicit server_ref(std::string name) : name_(std::move(name)) {}
    explicit server_ref(std::string_view name) : name_(name) {}
    explicit server_ref(const char* name) : name_(name) {}
    explicit server_ref(genever::pid p) noexcept : pid_(p) {}
    /// By a name that a registry keeps.
    explicit server_ref(const via_name& v) : name_(v.text()), via_(v.target()) {}

    /// The name, or the via name's text; empty for a reference by pid.
    const std::string& name() const noexcept { return name_; }
    /// The process it leads to at the moment; `pid{}`: nobody.
    genever::pid pid() const {
        if (via_) return via_->whereis();
        return name_.empty() ? pid_ : whereis(name_);
    }

    /// Sends a message that has no reply. Never blocks: false when nobody is there, or a full mailbox does not take it.
    template <std::nullptr_t = nullptr, class M>
    bool cast(M&& message) const {
        return cast<std::remove_cvref_t<M>>(std::forward<M>(message));
    }
    /// The same; makes the message M{args...} in its place.
    template <class M, class... Args>
    bool cast(Args&&... args) const {
        static_assert(detail::server_handles_message<S, M>::value);
        static_assert(!detail::has_reply<M>, "genever: this message has a reply: use call, not cast");
        const genever::pid to = pid();
        return to &&
               detail::post(to, detail::new_message<detail::cast_message<S, M>>(std::forward<Args>(args)...));
    }

    /// Sends a message M{args...} that has a reply, and waits for it: `co_await ref.call<M>(args...)`. Gives
    /// `M::reply`. Waits 5 seconds at most, or what `within` says; throws `call_error` when no answer comes (see
    /// there). Killed or timed out while it waits, the answer is dropped when it comes; the server handles the
    /// message in any case, unless it still waits outside of a full mailbox. The reference must outlive the waiting
    /// expression.
    template <class M, class... Args>
    auto call(Args&&... args) const {
        return make_call<M, true>(default_call_timeout, std::forward<Args>(args)...);
    }
    /// The same for a message that exists already.
    ///
    /// GCC 12 destroys an aggregate's members twice when it is made inside a co_await expression, so there
    /// `co_await ref.call(message{text})` is refused; `co_await ref.call<message>(text)` does the same.
    template <std::nullptr_t = nullptr, class M>
    auto call(M&& message, duration timeout = default_call_timeout) const {
        refuse_miscompiled<M>();
        return make_call<std::remove_cvref_t<M>, true>(timeout, std::forward<M>(message));
    }

    /// As `call`, but gives a `std::expected<reply, call_error>` instead of throwing.
    template <class M, class... Args>
    auto try_call(Args&&... args) const {
        return make_call<M, false>(default_call_timeout, std::forward<Args>(args)...);
    }
    template <std::nullptr_t = nullptr, class M>
    auto try_call(M&& message, duration timeout = default_call_timeout) const {
        refuse_miscompiled<M>();
        return make_call<std::remove_cvref_t<M>, false>(timeout, std::forward<M>(message));
    }

    /// Calls with another limit than 5 seconds: `co_await ref.within(1s).call<M>(args...)`; `infinity`: for ever.
    class timed {
    public:
        template <class M, class... Args>
        auto call(Args&&... args) const {
            return to_.template make_call<M, true>(limit_, std::forward<Args>(args)...);
        }
        template <class M, class... Args>
        auto try_call(Args&&... args) const {
            return to_.template make_call<M, false>(limit_, std::forward<Args>(args)...);
        }

    private:
        friend class server_ref;
        timed(const server_ref& to, duration limit) noexcept : to_(to), limit_(limit) {}
        const server_ref& to_;
        duration limit_;
    };
    timed within(duration limit) const noexcept { return {*this, limit}; }

    friend bool operator==(const server_ref& a, const server_ref& b) {
        return a.name_ == b.name_ && a.pid_ == b.pid_ &&
               (a.via_ == b.via_ || (a.via_ && b.via_ && a.via_->same_as(*b.via_)));
    }

private:
    template <class M>
    static void refuse_miscompiled() {
#if defined(__GNUC__) && !defined(__clang__) && __GNUC__ < 13
        static_assert(std::is_lvalue_reference_v<M> || !std::is_aggregate_v<M> ||
                          std::is_trivially_destructible_v<M>,
                      "genever: GCC 12 miscompiles co_await ref.call(message{...}); write co_await "
                      "ref.call<message>(...)");
#endif
    }

    template <class M, bool Throws, class... Args>
    auto make_call(duration timeout, Args&&... args) const {
        static_assert(detail::server_handles_message<S, M>::value);
        static_assert(detail::has_reply<M>,
                      "genever: this message has no `using reply = ...`: use cast, not call");
        return detail::call_awaiter<typename M::reply, Throws>(
            name_, pid(), detail::new_message<detail::call_message<S, M>>(std::forward<Args>(args)...),
            timeout);
    }

    std::string name_;
    genever::pid pid_;
    std::shared_ptr<const detail::via_target> via_;
};

} // namespace genever
