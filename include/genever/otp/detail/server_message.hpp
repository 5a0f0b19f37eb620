// How casts, calls and their answers travel.
//
// A call is one message, the request, which knows where the answer belongs: the caller's wait_ticket and the slot
// in the awaiter in the caller's frame. Whoever owns the request answers it at most once:
//
//     caller                          server (any thread)
//     prepare_park, arm the timer
//     post the request      ───────▶  claim(ticket): nobody resumes or destroys the caller's frame from here on
//     parked                          write into the slot
//     await_resume          ◀───────  release_claim
//
// If the caller has gone on (timeout, kill) the ticket is stale, the claim fails, and the slot is never touched.
// A request is never lost: it is answered, or it fails with the reason for which its owner let go of it. A process that
// is being killed cannot know that reason yet: its requests go back into its mailbox, which its end drops
// with the true one (`let_go`).
#pragma once

#include <genever/base/exit_reason.hpp>
#include <genever/otp/call_error.hpp>
#include <genever/runtime/detail/process.hpp>
#include <genever/runtime/message.hpp>
#include <genever/runtime/task.hpp>

#include <cstdint>
#include <exception>
#include <optional>
#include <type_traits>
#include <typeinfo>
#include <utility>
#include <variant>

namespace genever {

template <class Derived>
class gen_server;
template <class R>
class from;

namespace detail {

struct server_core;

/// Identifies a type of server; its address counts.
struct server_tag {
    const std::type_info* type;
};
template <class S>
inline constexpr server_tag tag_of{&typeid(S)};

/// Ends any message to a server; its address tells those from other messages.
void drop_server_message(message* m, const exit_reason& why) noexcept;

class held_message;

/// What a server's loop knows of the messages of one type.
struct server_message_type : message_type {
    const server_tag* server;
    bool is_request;
    /// Handles the message: at once (the empty task), or by the task. May throw.
    task<> (*handle)(held_message& m, void* server);
    void (*destroy)(message*) noexcept;
};

inline bool is_server_message(const message& m) noexcept { return m.type->drop == &drop_server_message; }
inline const server_message_type& server_type_of(const message& m) noexcept {
    return *static_cast<const server_message_type*>(m.type);
}

/// Where an answer goes; lies in the caller's awaiter.
struct call_slot_base {
    enum class outcome : std::uint8_t { none, answered, failed };
    outcome state = outcome::none;
    call_failure failure = call_failure::timeout;
    exit_reason why;
};
template <class R>
struct call_slot : call_slot_base {
    using value_type = std::conditional_t<std::is_void_v<R>, std::monostate, R>;
    std::optional<value_type> value;
};

/// The head of every call.
struct request : message {
    wait_ticket ticket;
    call_slot_base* slot = nullptr; // null: answered, or failed

    explicit request(const server_message_type* t) noexcept : message(t) {}
    ~request() = default;
};

/// Tells the caller that there will be no answer. No effect on a request that is answered.
void fail(request& q, call_failure kind, const exit_reason& why) noexcept;

/// False when the caller does not wait any more. What the move of the value throws goes to the caller's failure and on
/// to the server.
template <class R, class... V>
bool answer(request& q, V&&... value) {
    auto* slot = static_cast<call_slot<R>*>(std::exchange(q.slot, nullptr));
    if (!slot) return false;
    if constexpr (std::is_trivially_copyable_v<typename call_slot<R>::value_type> &&
                  sizeof(typename call_slot<R>::value_type) <= 64 &&
                  (std::is_same_v<std::remove_cvref_t<V>, R> && ...)) {
        return wake_after(q.ticket, [&] {
            slot->value.emplace(value...);
            slot->state = call_slot_base::outcome::answered;
        });
    }
    if (!claim(q.ticket)) return false;
    process& caller = *q.ticket.p;
    if constexpr (std::is_nothrow_constructible_v<typename call_slot<R>::value_type, V&&...>) {
        slot->value.emplace(std::forward<V>(value)...);
        slot->state = call_slot_base::outcome::answered;
        release_claim(caller);
    } else {
        try {
            slot->value.emplace(std::forward<V>(value)...);
            slot->state = call_slot_base::outcome::answered;
        } catch (...) {
            slot->state = call_slot_base::outcome::failed;
            slot->failure = call_failure::exited;
            slot->why = exit_reason::from_exception(std::current_exception());
            release_claim(caller);
            throw;
        }
        release_claim(caller);
    }
    return true;
}

/// Ends a message which its owner does not handle (to the end): into the mailbox of a process that is being killed,
/// else dropped; a request then fails with `no_reply`.
void let_go(message* m) noexcept;

/// Owns a message while it is being handled.
class held_message {
public:
    explicit held_message(message* m) noexcept : m_(m) {}
    held_message(held_message&& o) noexcept : m_(o.release()) {}
    held_message& operator=(held_message&& o) noexcept {
        if (this != &o) {
            if (m_) let_go(m_);
            m_ = o.release();
        }
        return *this;
    }
    ~held_message() {
        if (m_) let_go(m_);
    }
    message* get() const noexcept { return m_; }
    message* release() noexcept { return std::exchange(m_, nullptr); }
    /// Handled: nothing is left to tell anybody.
    void done() noexcept {
        if (m_) m_->type->drop(release(), exit_kind::normal);
    }

private:
    message* m_;
};

/// A request that a handler has taken over in order to answer later.
class deferred_request {
public:
    deferred_request() noexcept = default;
    deferred_request(request* q, server_core* core) noexcept;
    deferred_request(deferred_request&& o) noexcept
        : q_(std::exchange(o.q_, nullptr)), core_(o.core_), server_(o.server_) {}
    deferred_request& operator=(deferred_request&& o) noexcept {
        if (this != &o) {
            drop();
            q_ = std::exchange(o.q_, nullptr);
            core_ = o.core_;
            server_ = o.server_;
        }
        return *this;
    }
    ~deferred_request() { drop(); }

    request* get() const noexcept { return q_; }
    request* release() noexcept { return std::exchange(q_, nullptr); }
    void done() noexcept;

private:
    void drop() noexcept;

    request* q_ = nullptr;
    server_core* core_ = nullptr; // the loop of `server_`, valid inside that process only
    pid server_;
};

// ---- messages and handlers

template <class M>
concept has_reply = requires { typename M::reply; };

template <class S, class M>
concept handles_plainly = requires(S& s, M m) { s.handle(std::move(m)); };
template <class S, class M>
concept handles_deferred =
    has_reply<M> && requires(S& s, M m, from<typename M::reply> f) { s.handle(std::move(m), std::move(f)); };

/// What a handler's result stands for: T of task<T>.
template <class T>
struct awaited {
    using type = T;
};
template <class T>
struct awaited<task<T>> {
    using type = T;
};

/// Checks at compile time that server S can handle message M. Its name, with both types, is in the diagnostics.
template <class S, class M>
struct server_handles_message {
    static_assert(
        std::is_base_of_v<gen_server<S>, S>,
        "genever: the server's type must derive from gen_server of itself: struct S : gen_server<S>");
    static_assert(std::is_same_v<M, std::decay_t<M>>, "genever: a message is a plain value");
    static_assert(
        handles_plainly<S, M> || handles_deferred<S, M>,
        "genever: the server has no public `handle` for this message (Message = see above); a handler "
        "takes it by value or by const reference");
    static constexpr bool plain = handles_plainly<S, M>;
    static constexpr bool deferred = handles_deferred<S, M>;
    static_assert(!(plain && deferred),
                  "genever: the server has two handlers for this message: one with `from`, one without");

    static constexpr bool check_result() {
        if constexpr (deferred) {
            using result = decltype(std::declval<S&>().handle(std::declval<M>(),
                                                              std::declval<from<typename M::reply>>()));
            static_assert(std::is_void_v<typename awaited<result>::type>,
                          "genever: a handler with `from` replies through it: it returns void or task<>");
        } else if constexpr (plain) {
            using result = decltype(std::declval<S&>().handle(std::declval<M>()));
            using value = typename awaited<result>::type;
            if constexpr (!has_reply<M>)
                static_assert(
                    std::is_void_v<value>,
                    "genever: this message has no `using reply`: its handler must return void or task<>");
            else if constexpr (std::is_void_v<typename M::reply>)
                static_assert(
                    std::is_void_v<value>,
                    "genever: this message's reply is void: its handler must return void or task<>");
            else
                static_assert(std::is_convertible_v<value, typename M::reply>,
                              "genever: this message's handler must return its reply, or a task of it");
        }
        return true;
    }
    static constexpr bool value = check_result();
};

template <class S, class M>
struct cast_message final : message {
    M value;

    template <class... A>
    explicit cast_message(A&&... a) : message(&type_of), value{std::forward<A>(a)...} {}

    static task<> handle(held_message& m, void* server) {
        auto& s = *static_cast<S*>(server);
        M& v = static_cast<cast_message*>(m.get())->value;
        if constexpr (is_task<decltype(s.handle(std::move(v)))>) {
            return s.handle(std::move(v));
        } else {
            s.handle(std::move(v));
            return {};
        }
    }
    static void destroy(message* m) noexcept { delete_message(static_cast<cast_message*>(m)); }
    static constexpr server_message_type type_of{
        {&typeid(M), &drop_server_message}, &tag_of<S>, false, &handle, &destroy};
};

template <class S, class M>
struct call_message final : request {
    using reply = typename M::reply;
    using checked = server_handles_message<S, M>;
    M value;

    template <class... A>
    explicit call_message(A&&... a) : request(&type_of), value{std::forward<A>(a)...} {}

    static task<> handle(held_message& m, void* server) {
        auto& s = *static_cast<S*>(server);
        auto& q = *static_cast<call_message*>(m.get());
        if constexpr (checked::deferred) {
            from<reply> f{static_cast<call_message*>(m.release()), &s};
            M v = std::move(q.value);
            if constexpr (is_task<decltype(s.handle(std::move(v), std::move(f)))>) {
                return handle_deferred(s, std::move(v), std::move(f));
            } else {
                s.handle(std::move(v), std::move(f));
                return {};
            }
        } else if constexpr (is_task<decltype(s.handle(std::move(q.value)))>) {
            return handle_waiting(s, q);
        } else if constexpr (std::is_void_v<reply>) {
            s.handle(std::move(q.value));
            answer<reply>(q);
            return {};
        } else {
            answer<reply>(q, s.handle(std::move(q.value)));
            return {};
        }
    }
    static void destroy(message* m) noexcept { delete_message(static_cast<call_message*>(m)); }
    static constexpr server_message_type type_of{
        {&typeid(M), &drop_server_message}, &tag_of<S>, true, &handle, &destroy};

private:
    static task<> handle_waiting(S& s, call_message& q) {
        if constexpr (std::is_void_v<reply>) {
            co_await s.handle(std::move(q.value));
            answer<reply>(q);
        } else {
            auto result = co_await s.handle(std::move(q.value));
            answer<reply>(q, std::move(result));
        }
    }
    // Keeps the message: the handler may take it by reference.
    static task<> handle_deferred(S& s, M v, from<reply> f) { co_await s.handle(std::move(v), std::move(f)); }
};

} // namespace detail

/// The right, and the duty, to answer one call: what a handler `handle(M, from<R>)` gets instead of returning
/// the reply. Keep it, move it to another process, answer later. Destroyed without an answer, it tells the caller
/// so (`no_reply`); with its server's end, or its owner's, the caller hears of that.
template <class R>
class [[nodiscard("the caller waits for the reply")]] from {
public:
    from(from&&) noexcept = default;
    from& operator=(from&&) noexcept = default;

    /// Answers. False when the caller had stopped waiting, or had been answered. Any thread.
    template <class V = R>
        requires(!std::is_void_v<R> && std::is_convertible_v<V, R>)
    bool reply(V&& value) {
        return give([&](detail::request& q) { return detail::answer<R>(q, R(std::forward<V>(value))); });
    }
    bool reply()
        requires std::is_void_v<R>
    {
        return give([](detail::request& q) { return detail::answer<R>(q); });
    }

private:
    template <class S, class M>
    friend struct detail::call_message;
    from(detail::request* q, detail::server_core* core) noexcept : request_(q, core) {}

    template <class F>
    bool give(F f) {
        if (!request_.get()) return false;
        const bool told = f(*request_.get());
        request_.done();
        return told;
    }

    detail::deferred_request request_;
};

} // namespace genever
