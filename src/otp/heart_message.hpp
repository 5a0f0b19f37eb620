// What a service and its heart say to each other, over a sequenced-packet socket that the service inherits.
//
//     service                                  heart
//        ── listen (address, backlog) ──▶        binds, or finds, the socket
//        ◀── answer (its descriptor, or why not)
//        ── closed (address) ──▶                 closes it, too, unless it is asked for again soon
//        ── alive ──▶                            every so often, from inside the runtime
//        ── ready ──▶                            the tree is up
//        ── stopping ──▶                         a stop was asked for, or the tree ends: no restart any more
//        ── ended ──▶                            the tree is down; what is left is to exit
//
// The heart says nothing unasked. It drains a service by SIGTERM, which carries `replaced_mark` when another instance has
// taken the service's place.
#pragma once

#include <cstdint>
#include <optional>
#include <sys/socket.h>

namespace genever::detail {

inline constexpr int replaced_mark = 0x67656e76;

/// A socket's address, as the system has it.
struct socket_address {
    sockaddr_storage storage{};
    socklen_t size = 0;

    socket_address() = default;
    socket_address(const sockaddr* at, socklen_t n) noexcept;
    const sockaddr* get() const noexcept { return reinterpret_cast<const sockaddr*>(&storage); }

    /// An internet address that is no longer than its family's.
    bool valid() const noexcept;
    std::uint16_t port() const noexcept;
    /// Equal but for the port.
    bool same_host(const socket_address& o) const noexcept;
    bool any_host() const noexcept;
    bool is_v6() const noexcept { return storage.ss_family == AF_INET6; }
    friend bool operator==(const socket_address& a, const socket_address& b) noexcept {
        return a.port() == b.port() && a.same_host(b);
    }
};

enum class heart_word : std::uint32_t { listen = 1, closed, alive, ready, stopping, ended };

struct heart_message {
    heart_word word{};
    std::uint32_t serial = 0; // of a listen
    std::int32_t backlog = 0;
    std::uint32_t reserved = 0;
    socket_address at; // of listen and closed
};

struct heart_answer {
    std::uint32_t serial = 0;
    std::int32_t error = 0; // an errno; 0: the descriptor comes with it
};

/// Sends one message. False: nobody is there, or (where it must not block) there is no room.
bool send_message(int socket, const heart_message& m, bool may_block) noexcept;
/// Sends an answer, with `fd` unless that is -1.
bool send_answer(int socket, const heart_answer& a, int fd) noexcept;

enum class got : std::uint8_t { message, nothing, end };
/// Takes the next message, without waiting. What is malformed is passed over.
got take_message(int socket, heart_message& m) noexcept;
/// Waits for an answer; `fd` is -1 where none came with it. False: nobody is there any more.
bool take_answer(int socket, heart_answer& a, int& fd) noexcept;

} // namespace genever::detail
