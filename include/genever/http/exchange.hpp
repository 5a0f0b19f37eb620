// One request and its response: what an HTTP handler is given.
#pragma once

#include <genever/http/admission.hpp>
#include <genever/http/request.hpp>
#include <genever/http/response.hpp>
#include <genever/runtime/task.hpp>

#include <cstddef>
#include <cstdint>
#include <expected>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace genever::http {

/// Why a body could not be read.
enum class body_error : std::uint8_t {
    too_large,    ///< longer than the limit: answer 413; the connection ends after the response
    timeout,      ///< it did not come in time: 408
    malformed,    ///< its chunks break RFC 9112 section 7.1: 400
    disconnected, ///< the client went away
};

/// Why a piece of a response could not be sent.
enum class send_error : std::uint8_t { timeout, disconnected };

/// One request with its response. Lives in the connection's process from the parsed head until the response
/// has been sent; a handler must not keep a reference to it beyond its own return.
class exchange {
public:
    const http::request& request;
    http::response& response;

    /// The client's address without its port, `127.0.0.1`: valid as long as the exchange.
    std::string_view peer_address() const noexcept { return peer_; }

    /// Asks whether this request may be handled, by the rules of its class; to be called before anything is done for
    /// it. A second call, by somebody who knows its class better, admits it by that one instead (it counts twice then; and
    /// the deadline of a handler that has begun stays what it was). False: it is to be left alone (return an empty `task<>{}`), and the server answers 503. `c` must live until the
    /// response has been made. (It may be a no for the moment: once there is a place, the handler is called again, with an empty response.) A handler does not call this itself unless it says so (`http::handler`): the router asks by
    /// the class of the route, and for any other the server asks before it calls it.
    virtual bool admit(traffic_class& c) = 0;
    /// The same by the rules for what belongs to no class: normal priority.
    virtual bool admit() = 0;

    /// Reads the whole body (both framings, decoded) and keeps it: a second call gives the same bytes. Sends
    /// `100 Continue` first where the client waits for it, unless the response has begun already. The view is valid as
    /// long as the exchange.
    /// `limit` is in bytes; more than that gives `too_large` without reading on. After an error the connection ends with
    /// the response.
    /// Cancelled while it waits (`with_timeout`), what has come is kept: a further call goes on from there, with the whole
    /// of the server's `body_timeout` again.
    virtual task<std::expected<std::string_view, body_error>> read_body(std::size_t limit) = 0;
    /// `read_body` with the server's own limit.
    virtual task<std::expected<std::string_view, body_error>> read_body() = 0;

    /// Sends status and fields now and the body in pieces: chunks, or delimited by the connection's end for an
    /// HTTP/1.0 client. `response.body` must be empty. After the handler's return the server ends the body.
    /// `timeout` when the client reads too slowly (server_options::write_timeout, write_rate), `disconnected` when it is
    /// gone (a handler that waits is destroyed then, and is told so only if it is not waiting); so is every further call, and the connection ends with the handler. Cancelled while it waits, the piece is
    /// still sent, before whatever comes next.
    virtual task<std::expected<void, send_error>> send_piece(std::string_view piece) = 0;
    /// Whether the head has been sent (by `send_piece`): status and fields can no longer change.
    virtual bool head_sent() const noexcept = 0;

    /// Makes this connection independent of the server's own processes, for a handler that must answer although they are
    /// about to be restarted, as one that restarts them does. The rules:
    ///
    /// - To be called in the request's process, before the end of the server's processes has reached it. A second call
    ///   does nothing.
    /// - The response is the connection's last: it ends after it (`Connection: close`).
    /// - The connection still counts: whenever the server is shut down, under its present processes or those that
    ///   have been started since, the drain waits for it like for any other.
    /// - A client that goes away no longer ends the handler; its deadline still does.
    /// - It is killed when it has not ended `server_options::drain_timeout` after the call. So it never
    ///   outlives the server for longer than that; while the server does not run, nobody waits for it.
    virtual void detach() = 0;

protected:
    exchange(const http::request& req, http::response& res, std::string_view peer)
        : request(req), response(res), peer_(peer) {}
    ~exchange() = default;
    exchange(const exchange&) = delete;
    exchange& operator=(const exchange&) = delete;

    std::string_view peer_;
};

/// What the server calls for each request: `task<>(exchange&)`. Copies share one callable, which runs on many
/// workers at once and therefore is called through `const`; it must guard whatever state it holds. A callable
/// that has nothing to wait for returns an empty `task<>{}`, which costs no coroutine frame.
///
/// The server asks for each request whether it is to be admitted before it calls this. A callable that knows better by which
/// rules has a `static constexpr bool admits = true` and calls exchange::admit itself: the router does, and so must what is
/// put around a router, or the requests of critical routes are admitted by the rules for normal ones first.
class handler {
public:
    handler() = default;

    template <class F>
        requires(!std::is_same_v<std::remove_cvref_t<F>, handler> &&
                 std::is_invocable_r_v<task<>, const std::decay_t<F>&, exchange&>)
    handler(F&& f) : call_(std::make_shared<const model<std::decay_t<F>>>(std::forward<F>(f))) {}

    explicit operator bool() const noexcept { return call_ != nullptr; }
    task<> operator()(exchange& x) const { return call_->call(x); }

private:
    struct interface {
        virtual ~interface() = default;
        virtual task<> call(exchange& x) const = 0;
    };
    template <class F>
    struct model final : interface {
        template <class G>
        explicit model(G&& g) : f(std::forward<G>(g)) {}
        task<> call(exchange& x) const override {
            if constexpr (requires { requires F::admits; }) {
                return f(x);
            } else {
                return x.admit() ? f(x) : task<>{};
            }
        }
        F f;
    };
    std::shared_ptr<const interface> call_;
};

} // namespace genever::http
