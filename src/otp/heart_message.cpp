#include "heart_message.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <netinet/in.h>
#include <sys/uio.h>
#include <type_traits>
#include <unistd.h>

namespace genever::detail {

namespace {

static_assert(std::is_trivially_copyable_v<heart_message> && std::is_trivially_copyable_v<heart_answer>);

const sockaddr_in& v4(const socket_address& a) noexcept {
    return reinterpret_cast<const sockaddr_in&>(a.storage);
}
const sockaddr_in6& v6(const socket_address& a) noexcept {
    return reinterpret_cast<const sockaddr_in6&>(a.storage);
}

bool send_all(int socket, const msghdr& m, int flags) noexcept {
    for (;;) {
        if (::sendmsg(socket, &m, MSG_NOSIGNAL | flags) >= 0) return true;
        if (errno != EINTR) return false;
    }
}

} // namespace

socket_address::socket_address(const sockaddr* at, socklen_t n) noexcept
    : size(std::min<socklen_t>(n, sizeof storage)) {
    std::memcpy(&storage, at, size);
}

bool socket_address::valid() const noexcept {
    return (storage.ss_family == AF_INET && size >= sizeof(sockaddr_in) && size <= sizeof storage) ||
           (storage.ss_family == AF_INET6 && size >= sizeof(sockaddr_in6) && size <= sizeof storage);
}

std::uint16_t socket_address::port() const noexcept {
    return ntohs(is_v6() ? v6(*this).sin6_port : v4(*this).sin_port);
}

bool socket_address::same_host(const socket_address& o) const noexcept {
    if (storage.ss_family != o.storage.ss_family) return false;
    if (!is_v6()) return v4(*this).sin_addr.s_addr == v4(o).sin_addr.s_addr;
    return std::memcmp(&v6(*this).sin6_addr, &v6(o).sin6_addr, sizeof(in6_addr)) == 0 &&
           v6(*this).sin6_scope_id == v6(o).sin6_scope_id;
}

bool socket_address::any_host() const noexcept {
    return is_v6() ? IN6_IS_ADDR_UNSPECIFIED(&v6(*this).sin6_addr) != 0
                   : v4(*this).sin_addr.s_addr == htonl(INADDR_ANY);
}

bool send_message(int socket, const heart_message& m, bool may_block) noexcept {
    iovec what{const_cast<heart_message*>(&m), sizeof m};
    msghdr h{};
    h.msg_iov = &what;
    h.msg_iovlen = 1;
    return send_all(socket, h, may_block ? 0 : MSG_DONTWAIT);
}

bool send_answer(int socket, const heart_answer& a, int fd) noexcept {
    iovec what{const_cast<heart_answer*>(&a), sizeof a};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof fd)] = {};
    msghdr h{};
    h.msg_iov = &what;
    h.msg_iovlen = 1;
    if (fd >= 0) {
        h.msg_control = control;
        h.msg_controllen = sizeof control;
        cmsghdr* c = CMSG_FIRSTHDR(&h);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof fd);
        std::memcpy(CMSG_DATA(c), &fd, sizeof fd);
    }
    return send_all(socket, h, MSG_DONTWAIT); // who asked waits for it: there is room
}

got take_message(int socket, heart_message& m) noexcept {
    for (;;) {
        heart_message in;
        const ssize_t n = ::recv(socket, &in, sizeof in, MSG_DONTWAIT | MSG_TRUNC);
        if (n == 0) return got::end;
        if (n < 0) {
            if (errno == EINTR) continue;
            return errno == EAGAIN ? got::nothing : got::end;
        }
        if (n != static_cast<ssize_t>(sizeof in)) continue;
        if ((in.word == heart_word::listen || in.word == heart_word::closed) && !in.at.valid()) continue;
        m = in;
        return got::message;
    }
}

bool take_answer(int socket, heart_answer& a, int& fd) noexcept {
    fd = -1;
    for (;;) {
        iovec what{&a, sizeof a};
        alignas(cmsghdr) char control[CMSG_SPACE(sizeof fd)] = {};
        msghdr h{};
        h.msg_iov = &what;
        h.msg_iovlen = 1;
        h.msg_control = control;
        h.msg_controllen = sizeof control;
        const ssize_t n = ::recvmsg(socket, &h, MSG_CMSG_CLOEXEC);
        if (n < 0 && errno == EINTR) continue;
        if (n != static_cast<ssize_t>(sizeof a)) return false;
        const cmsghdr* c = CMSG_FIRSTHDR(&h);
        if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
            c->cmsg_len == CMSG_LEN(sizeof fd))
            std::memcpy(&fd, CMSG_DATA(c), sizeof fd);
        return true;
    }
}

} // namespace genever::detail
