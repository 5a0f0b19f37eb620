// The requests that every server serves whatever its type: OTP's system messages.
#pragma once

#include <genever/otp/detail/server_core.hpp>
#include <genever/otp/detail/server_message.hpp>
#include <genever/otp/server_ref.hpp>

#include <exception>
#include <expected>
#include <string>
#include <type_traits>
#include <utility>

namespace genever::detail {

inline constexpr server_tag sys_tag{&typeid(server_tag)};

/// One type for the mailbox, so that a suspended server can tell them from everything else.
struct sys_request : request {
    void (*run)(sys_request&, server_core&);
    void (*end)(sys_request*) noexcept;

    sys_request(void (*r)(sys_request&, server_core&), void (*e)(sys_request*) noexcept) noexcept
        : request(&type_of), run(r), end(e) {}

    static task<> handle(held_message&, void*) { return {}; } // the server's loop calls `run`
    static void destroy(message* m) noexcept {
        auto* q = static_cast<sys_request*>(m);
        q->end(q);
    }
    static const server_message_type type_of;
};
inline constexpr server_message_type sys_request::type_of{
    {&typeid(sys_request), &drop_server_message}, &sys_tag, true, &handle, &destroy};

/// What `f` throws is the caller's, not the server's.
template <class R>
using sys_result = std::expected<R, std::exception_ptr>;

/// Calls `f(core)` in the server. `server` not null: only if the server is of that type.
template <class R, class F>
struct sys_call final : sys_request {
    F f;
    const server_tag* server;

    sys_call(F g, const server_tag* s) : sys_request(&run_it, &end_it), f(std::move(g)), server(s) {}

    static void run_it(sys_request& q, server_core& core) {
        auto& self = static_cast<sys_call&>(q);
        if (self.server && core.genever_callbacks->tag != self.server) {
            fail(q, call_failure::wrong_server, {});
            return;
        }
        answer<sys_result<R>>(q, attempt(self.f, core));
    }
    static void end_it(sys_request* q) noexcept { delete_message(static_cast<sys_call*>(q)); }

private:
    static sys_result<R> attempt(F& f, server_core& core) {
        try {
            if constexpr (std::is_void_v<R>) {
                f(core);
                return {};
            } else {
                return sys_result<R>(f(core));
            }
        } catch (...) {
            return std::unexpected(std::current_exception());
        }
    }
};

template <class R, class F>
task<R> ask_server(std::string name, pid to, const server_tag* server, F f, duration timeout) {
    call_awaiter<sys_result<R>, true> wait(name, to, new_message<sys_call<R, F>>(std::move(f), server),
                                           timeout);
    sys_result<R> r = co_await wait;
    if (!r) std::rethrow_exception(r.error());
    if constexpr (!std::is_void_v<R>) co_return std::move(*r);
}

} // namespace genever::detail
