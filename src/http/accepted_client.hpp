// A client as long as it is connected. What serves its requests (`connection`) comes and goes; in its place is the wait of a
// client that is idle.
//
//      accepted ──open──▶ fresh ──(served, no request for a while)──▶ waits ──bytes, drain──▶ asks ──(the same)──▶ waits
//                                                                       └─────too long──────▶ late ──▶ end
//
// There may be as many clients that wait as there are clients, and few that do anything else. So nothing lies here but what those
// need: the wait, too, which in the frame of the client's process would make that too large for the process's cell.
#pragma once

#include "server_state.hpp"

#include <genever/base/clock.hpp>
#include <genever/base/pid.hpp>
#include <genever/base/pool.hpp>
#include <genever/net/tcp.hpp>
#include <genever/runtime/io.hpp>
#include <genever/runtime/task.hpp>
#include <genever/runtime/time.hpp>

#include <algorithm>
#include <chrono>
#include <coroutine>
#include <cstdint>
#include <memory>
#include <utility>

namespace genever::http {

class connection;

/// How a connection stopped serving its client.
enum class after_serving : std::uint8_t {
    idle, ///< nothing is here that would have to be kept
    end,  ///< of the connection
};

/// How long one of the last connections may be without a request before it makes room for another.
inline constexpr duration reserve_patience = std::chrono::seconds{2};

/// All that is kept of a client between its requests, once that takes longer: its socket, its place among the server's
/// clients, and its wait. Made where it was accepted; from `open` on used by its process only.
struct accepted_client : detail::pooled {
    /// `connections_process` is the process to which the client's is linked; its first request has waited since `came`.
    accepted_client(server_state::presence p, pid connections_process, net::accepted a, time_point came)
        : member(std::move(p)), connections(connections_process), idle_since(came), peer(a.peer),
          socket_(std::move(a.fd)) {}
    ~accepted_client();
    accepted_client(const accepted_client&) = delete;
    accepted_client& operator=(const accepted_client&) = delete;

    /// In its process, before anything else. Throws std::system_error when the system refuses.
    void open();
    server_state& server() const noexcept { return member.server(); }
    /// Whether this is one of the last connections, which are for critical requests, as long as there are no others.
    bool in_reserve() const noexcept {
        return member.counted().in_reserve() && server().admission.nearly_full();
    }
    /// How long it may be idle.
    duration idle_patience() const noexcept {
        const duration usual = server().options.idle_timeout;
        return in_reserve() ? std::min(usual, reserve_patience) : usual;
    }
    /// It has never been idle.
    bool is_new() const noexcept { return state_ <= state::fresh; }

    /// Serves it as long as it asks, or, where it was idle for too long, ends the connection.
    task<after_serving> serve();

    /// The wait of an idle client, which begins by destroying what has served it. Killed, it ends with this record.
    class next_request {
    public:
        explicit next_request(accepted_client& c) noexcept : client_(c) {}
        bool await_ready() const {
            client_.begin_wait();
            return client_.wait_.await_ready();
        }
        template <detail::task_promise_type P>
        void await_suspend(std::coroutine_handle<P> h) const noexcept {
            client_.wait_.await_suspend(h);
        }
        void await_resume() const noexcept { client_.end_wait(); }

    private:
        accepted_client& client_;
    };
    /// Until the client sends something, the server drains, or the client is late.
    next_request wait_for_request() noexcept { return next_request{*this}; }

    server_state::member member;
    const pid connections;
    time_point
        idle_since; // when it was last found without a request; as long as it is new, since when the first has waited
    const net::endpoint peer;

private:
    enum class state : std::uint8_t { accepted, fresh, waits, asks, late };

    void begin_wait() noexcept;
    void end_wait() noexcept;
    void drop_wait() noexcept;
    void drop_serving() noexcept;

    state state_ = state::accepted;
    bool in_drain_ = false; // it waits, and the server had begun to drain before
    union {
        net::unique_fd socket_;        // when it is accepted
        connection* serving_;          // otherwise; owned; null: it has not asked yet
        io_handle::wait_awaiter wait_; // while it waits
    };
};
static_assert(sizeof(accepted_client) <= 160); // a size of the pool's

/// The client's process: waits for it with next to no memory, and serves it while it asks.
task<> serve_client(std::unique_ptr<accepted_client> client);

} // namespace genever::http
