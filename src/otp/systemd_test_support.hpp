// A service manager for tests of what is told to one.
#pragma once

#include "systemd.hpp"

#include <gtest/gtest.h>

#include <cstddef>
#include <string>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace genever::test {

/// A datagram socket bound to an abstract name of its own.
struct manager {
    manager() {
        name = "genever-notify-" + std::to_string(getpid());
        sockaddr_un a{};
        a.sun_family = AF_UNIX;
        name.copy(a.sun_path + 1, sizeof a.sun_path - 1);
        const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
        EXPECT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&a), size), 0);
    }
    ~manager() { close(fd); }
    manager(const manager&) = delete;
    manager& operator=(const manager&) = delete;
    /// The next message; empty: there is none.
    std::string next() const {
        char text[256];
        const ssize_t n = recv(fd, text, sizeof text, MSG_DONTWAIT);
        return n < 0 ? "" : std::string(text, static_cast<std::size_t>(n));
    }

    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    std::string name;
};

} // namespace genever::test
