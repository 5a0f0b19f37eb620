// The listening sockets that outlive a service: those that its heart has bound for it, and those that a service manager has
// passed. Used by one thread at a time.
#pragma once

#include "heart_message.hpp"

#include <genever/base/clock.hpp>

#include <cstddef>
#include <expected>
#include <string>
#include <vector>

namespace genever::detail {

class listener_table {
public:
    listener_table() = default;
    ~listener_table();
    listener_table(const listener_table&) = delete;
    listener_table& operator=(const listener_table&) = delete;

    /// Takes over `fd`, which somebody else has bound; it is given out by its address. When it is no listening TCP socket it
    /// is not taken, and the error says what it is ("a Unix socket").
    std::expected<void, std::string> adopt(int fd);

    /// The socket for address `at`, which from now on `instance` has: one that is there, or a new one if `bind`. The table
    /// keeps it open. -1: there is none. The error is an errno; EADDRINUSE where that instance has it already.
    ///
    /// Port 0 gives the first socket that was bound for port 0 of that host and that the instance has not; so an instance
    /// that asks in the same order as the one before gets the same ports. An adopted socket of [::] also serves 0.0.0.0,
    /// unless it takes IPv6 alone.
    std::expected<int, int> take(const socket_address& at, int backlog, int instance, bool bind);
    /// `instance` has closed its socket at `at`.
    void give_back(const socket_address& at, int instance, time_point now);
    /// `instance` has ended, and has none any more.
    void give_back_all(int instance, time_point now);
    /// Closes those of our own that nobody has had since `before`: a client must not wait in a backlog for ever.
    void close_unused(time_point before);
    void close_all();
    std::size_t size() const noexcept { return entries_.size(); }

private:
    struct entry {
        socket_address at;
        int fd = -1;
        bool any_port = false; // was bound for port 0
        bool adopted = false;
        bool both_families = false;
        std::vector<int> users{}; // instances
        time_point unused_since{};

        bool used_by(int instance) const noexcept;
    };

    entry* find(const socket_address& at, int instance);

    std::vector<entry> entries_;
};

/// The log's words on a descriptor that was passed and not adopted.
std::string not_adopted(int fd, const std::string& what_it_is);

} // namespace genever::detail
