// What the processes of one server share.
#pragma once

#include <genever/base/pid.hpp>
#include <genever/base/spinlock.hpp>
#include <genever/http/server.hpp>
#include <genever/runtime/io.hpp>

#include <atomic>
#include <cstdint>

namespace genever::http {

/// Tells the connections' process that the last connection has ended.
struct drained {};

/// One server's settings and its living connections. Shared by its processes; outlives them all.
struct server_state {
    explicit server_state(server_options o) : options(std::move(o)), port(options.port) {}

    const server_options options;
    /// The actual port, once it has been bound; a restarted listener takes it again. Used by the supervisor's process
    /// only, in which listeners are started.
    std::uint16_t port;
    /// No further request is to be waited for.
    std::atomic<bool> draining{false};

    /// A connection's entry in the list of the living: in its process's frame, so that a kill takes it out, too.
    class member {
    public:
        /// `io` outlives the entry.
        member(server_state& s, io_handle& io);
        ~member();
        member(const member&) = delete;
        member& operator=(const member&) = delete;

        /// The connection now waits for its client: a drain that begins meanwhile nudges it. False when the server
        /// is draining already.
        bool begin_wait() noexcept;
        void end_wait() noexcept;

    private:
        friend struct server_state;
        server_state& server_;
        io_handle& io_;
        member* previous_ = nullptr;
        member* next_ = nullptr;
        bool waiting_ = false;
    };

    /// Begins the drain: connections that wait for their clients are told, the others see it at their next wait. `who` is told, by a
    /// `drained` message, when none is left; at once if none is there.
    void drain(pid who);
    std::size_t connections() noexcept;

private:
    detail::spinlock lock_;
    member* first_ = nullptr;
    std::size_t count_ = 0;
    pid waits_for_drain_;
};

} // namespace genever::http
