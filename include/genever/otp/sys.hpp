// Looking into running servers, and holding them up: for debugging and for tests. OTP's module sys.
#pragma once

#include <genever/base/clock.hpp>
#include <genever/base/pid.hpp>
#include <genever/otp/detail/sys_request.hpp>
#include <genever/otp/server_ref.hpp>
#include <genever/runtime/task.hpp>

#include <cstddef>
#include <string>
#include <type_traits>
#include <utility>

/// All of these are requests to a server (a gen_server, a gen_statem, a supervisor): it serves them in their turn among
/// its other messages, so that what was cast before has been handled, and while it is suspended at once. They throw
/// `call_error` as a call does: `noproc`, `exited`, `timeout` (the server is busy; a process that is no server never
/// answers), `calling_self`, `wrong_server`. Callable in processes of the server's runtime.
namespace genever::sys {

/// What `f(const S&)` says of the server's state; what it refers to must not leave the server. An exception of `f`
/// is thrown to the caller; the server goes on.
template <class S, class F>
    requires std::is_invocable_v<F&, const S&>
task<std::decay_t<std::invoke_result_t<F&, const S&>>> get_state(server_ref<S> server, F f,
                                                                 duration timeout = default_call_timeout) {
    using result = std::decay_t<std::invoke_result_t<F&, const S&>>;
    auto look = [f = std::move(f)](detail::server_core& core) mutable -> result {
        return f(std::as_const(*static_cast<S*>(core.genever_server)));
    };
    return detail::ask_server<result>(server.name(), server.pid(), &detail::tag_of<S>, std::move(look),
                                      timeout);
}

/// Changes the server's state by `f(S&)`, whose result the caller gets. An exception of `f` is thrown to the caller; what
/// it has changed stays changed.
template <class S, class F>
    requires std::is_invocable_v<F&, S&>
task<std::decay_t<std::invoke_result_t<F&, S&>>> replace_state(server_ref<S> server, F f,
                                                               duration timeout = default_call_timeout) {
    using result = std::decay_t<std::invoke_result_t<F&, S&>>;
    auto change = [f = std::move(f)](detail::server_core& core) mutable -> result {
        return f(*static_cast<S*>(core.genever_server));
    };
    return detail::ask_server<result>(server.name(), server.pid(), &detail::tag_of<S>, std::move(change),
                                      timeout);
}

/// Lets the server handle nothing but these requests, and its parent's request to end, until `resume`. Everything else waits in
/// its mailbox, in order; calls run into their timeouts. Suspending it twice is suspending it once.
task<> suspend(pid server, duration timeout = default_call_timeout);
task<> resume(pid server, duration timeout = default_call_timeout);

/// What can be said of a server of any type.
struct server_status {
    genever::pid pid;
    std::string name;    ///< the one it was started with, or empty
    std::string type;    ///< S
    genever::pid parent; ///< who started it with a link
    bool suspended = false;
    std::size_t mailbox_length = 0;
    /// What the server's public `std::string format_status() const` says of its state; empty where it has none. Nothing else
    /// of the state is ever shown: a secret stays out unless that function tells it.
    std::string state;
};
task<server_status> get_status(pid server, duration timeout = default_call_timeout);

} // namespace genever::sys
