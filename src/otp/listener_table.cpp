#include "listener_table.hpp"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <netinet/in.h>
#include <unistd.h>
#include <utility>

namespace genever::detail {

namespace {

bool option(int fd, int level, int name) noexcept {
    int value = 0;
    socklen_t size = sizeof value;
    return getsockopt(fd, level, name, &value, &size) == 0 && value != 0;
}

/// Why it cannot be accepted from as a TCP socket; empty: it can.
std::string what_else(int fd) {
    const auto ask = [fd](int name) {
        int value = -1;
        socklen_t size = sizeof value;
        return getsockopt(fd, SOL_SOCKET, name, &value, &size) == 0 ? value : -1;
    };
    const int family = ask(SO_DOMAIN);
    if (family < 0) return "no socket";
    if (family == AF_UNIX) return "a Unix socket";
    if (family != AF_INET && family != AF_INET6) return "a socket of family " + std::to_string(family);
    switch (const int type = ask(SO_TYPE)) {
    case SOCK_STREAM: break;
    case SOCK_SEQPACKET: return "a SOCK_SEQPACKET socket";
    case SOCK_DGRAM: return "a datagram socket";
    default: return "a socket of type " + std::to_string(type);
    }
    constexpr int multipath = 262; // IPPROTO_MPTCP: TCP to who accepts
    if (const int protocol = ask(SO_PROTOCOL); protocol != IPPROTO_TCP && protocol != multipath)
        return "a stream socket of protocol " + std::to_string(protocol);
    return ask(SO_ACCEPTCONN) == 1 ? "" : "a TCP socket that does not listen";
}

bool address_of(int fd, socket_address& a) noexcept {
    a.size = sizeof a.storage;
    return getsockname(fd, reinterpret_cast<sockaddr*>(&a.storage), &a.size) == 0 && a.valid();
}

} // namespace

listener_table::~listener_table() { close_all(); }

void listener_table::close_all() {
    for (const entry& e : entries_) ::close(e.fd);
    entries_.clear();
}

bool listener_table::entry::used_by(int instance) const noexcept {
    return std::ranges::find(users, instance) != users.end();
}

std::string not_adopted(int fd, const std::string& what_it_is) {
    return "descriptor " + std::to_string(fd) + ", which was passed, is not used: it is " + what_it_is +
           ", and connections are accepted from listening TCP sockets";
}

std::expected<void, std::string> listener_table::adopt(int fd) {
    if (std::string other = what_else(fd); !other.empty()) return std::unexpected(std::move(other));
    entry e;
    if (!address_of(fd, e.at)) return std::unexpected("a socket without an address");
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    e.fd = fd;
    e.adopted = true;
    e.both_families = e.at.is_v6() && !option(fd, IPPROTO_IPV6, IPV6_V6ONLY);
    entries_.push_back(std::move(e));
    return {};
}

listener_table::entry* listener_table::find(const socket_address& at, int instance) {
    if (at.port() == 0) {
        for (entry& e : entries_)
            if (e.any_port && e.at.same_host(at) && !e.used_by(instance)) return &e;
        return nullptr;
    }
    for (entry& e : entries_)
        if (e.at == at) return &e;
    for (entry& e : entries_)
        if (e.adopted && e.both_families && e.at.any_host() && at.any_host() && e.at.port() == at.port())
            return &e;
    return nullptr;
}

std::expected<int, int> listener_table::take(const socket_address& at, int backlog, int instance, bool bind) {
    entry* found = find(at, instance);
    if (found) {
        if (found->used_by(instance)) return std::unexpected(EADDRINUSE);
        if (::listen(found->fd, backlog) != 0) return std::unexpected(errno); // the length may have changed
        found->users.push_back(instance);
        return found->fd;
    }
    if (!bind) return -1;
    entry e;
    e.fd = ::socket(at.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (e.fd < 0) return std::unexpected(errno);
    const int on = 1;
    setsockopt(e.fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (::bind(e.fd, at.get(), at.size) != 0 || ::listen(e.fd, backlog) != 0 || !address_of(e.fd, e.at)) {
        const int why = errno;
        ::close(e.fd);
        return std::unexpected(why);
    }
    e.any_port = at.port() == 0;
    e.users.push_back(instance);
    entries_.push_back(std::move(e));
    return entries_.back().fd;
}

void listener_table::give_back(const socket_address& at, int instance, time_point now) {
    for (entry& e : entries_)
        if (e.at == at && std::erase(e.users, instance) != 0 && e.users.empty()) e.unused_since = now;
}

void listener_table::give_back_all(int instance, time_point now) {
    for (entry& e : entries_)
        if (std::erase(e.users, instance) != 0 && e.users.empty()) e.unused_since = now;
}

void listener_table::close_unused(time_point before) {
    std::erase_if(entries_, [before](const entry& e) {
        const bool go = !e.adopted && e.users.empty() && e.unused_since <= before;
        if (go) ::close(e.fd);
        return go;
    });
}

} // namespace genever::detail
