// What the processes of one server share.
#pragma once

#include "http/admission/admission_control.hpp"

#include <genever/base/clock.hpp>
#include <genever/base/pid.hpp>
#include <genever/base/spinlock.hpp>
#include <genever/http/server.hpp>
#include <genever/net/tcp.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <memory>
#include <utility>

namespace genever::http {

/// Tells the connections' process that the last connection has ended.
struct drained {};

/// One server's settings and its living connections. It is made with the server's `child_spec` and outlives all of
/// the server's processes: a restarted server finds its port again, and the connections that outlived the one before.
struct server_state {
    explicit server_state(server_options o);

    const server_options options;
    admission_control admission;
    /// The actual port, once it has been bound; a restarted listener takes it again. Used by the supervisor's process
    /// only, in which listeners are started.
    std::uint16_t port;
    /// Who accepts for the present listener, and holds its socket as long as it lives. Written by the listener; read
    /// by the supervisor's process when the listener has ended.
    std::atomic<pid> acceptor{};
    /// No further request is to be waited for.
    std::atomic<bool> draining{false};

    /// One connection, from the moment at which it was accepted: counted until this is destroyed. It is made before
    /// the connection's process and moved into it, so a drain waits for a connection whose process has not taken its
    /// first step, and however the process ends the count is right. While there is one, the server's state is there.
    class presence {
    public:
        presence(presence&& o) noexcept
            : server_(std::exchange(o.server_, nullptr)), client_(o.client_), in_reserve_(o.in_reserve_) {}
        presence& operator=(presence&&) = delete;
        ~presence();

        server_state& server() const noexcept { return *server_; }
        client_key client() const noexcept { return client_; }
        /// It is one of those that are kept for critical requests.
        bool in_reserve() const noexcept { return in_reserve_; }

    private:
        friend struct server_state;
        presence(server_state& server, client_key client, bool in_reserve) noexcept
            : server_(&server), client_(client), in_reserve_(in_reserve) {}

        server_state* server_; // null: moved from
        client_key client_;
        bool in_reserve_;
    };

    /// A connection of this client's has been accepted: its presence, or why it may not be.
    static std::expected<presence, refusal> enter(const std::shared_ptr<server_state>& server,
                                                  client_key client);

    /// A connection where a drain finds it when it waits for its client: in what the client's process owns, so that a kill takes
    /// it out, too.
    class member {
    public:
        explicit member(presence p);
        ~member();
        member(const member&) = delete;
        member& operator=(const member&) = delete;

        server_state& server() const noexcept { return counted_.server(); }
        /// It begins to wait for its client: a drain that begins meanwhile ends that with a nudge. True: the server had
        /// begun to drain before, and there will be no nudge.
        bool begin_wait() noexcept;
        void end_wait() noexcept { waiting_.store(false, std::memory_order_relaxed); }

        net::tcp_stream& stream() noexcept { return stream_; }
        const presence& counted() const noexcept { return counted_; }

    private:
        friend struct server_state;
        [[no_unique_address]] presence counted_; // goes last: the connection counts until all else is gone
        std::atomic<bool> waiting_{false};       // in the padding of that
        net::tcp_stream stream_;
        member* previous_ = nullptr;
        member* next_ = nullptr;
    };

    /// Such a wait, for a scope.
    class client_wait {
    public:
        explicit client_wait(member& m) noexcept : member_(m), draining_(m.begin_wait()) {}
        ~client_wait() { member_.end_wait(); }
        client_wait(const client_wait&) = delete;
        client_wait& operator=(const client_wait&) = delete;

        /// The server had begun to drain before.
        bool draining() const noexcept { return draining_; }

    private:
        member& member_;
        bool draining_;
    };

    /// Open for connections (again), as the connections' process starts.
    void open();
    /// Begins the drain: connections that wait for their clients are told, the others see it at their next wait. `who` is
    /// told, by a `drained` message, when none is left; at once if none is there.
    void drain(pid who);
    /// Once it drains: until when a connection waits for one more request although nothing of it has come.
    time_point idle_until() const noexcept {
        return time_point{duration{idle_until_.load(std::memory_order_relaxed)}}; // written before `draining`
    }
    std::size_t connections() noexcept;

private:
    detail::spinlock lock_;
    std::shared_ptr<server_state> self_; // while there are connections
    member* first_ = nullptr;
    pid waits_for_drain_;
    std::atomic<duration::rep> idle_until_{0};
};

} // namespace genever::http
