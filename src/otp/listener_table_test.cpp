#include "otp/listener_table.hpp"

#include <gtest/gtest.h>

#include <arpa/inet.h>
#include <cerrno>
#include <fcntl.h>
#include <netinet/in.h>
#include <string>
#include <sys/un.h>
#include <unistd.h>
#include <utility>

using namespace genever;
using namespace genever::detail;
using namespace std::chrono_literals;

namespace {

constexpr time_point start{1000s};

socket_address v4(const char* host, std::uint16_t port) {
    sockaddr_in a{};
    a.sin_family = AF_INET;
    a.sin_port = htons(port);
    inet_pton(AF_INET, host, &a.sin_addr);
    return {reinterpret_cast<const sockaddr*>(&a), sizeof a};
}

socket_address v6(const char* host, std::uint16_t port) {
    sockaddr_in6 a{};
    a.sin6_family = AF_INET6;
    a.sin6_port = htons(port);
    inet_pton(AF_INET6, host, &a.sin6_addr);
    return {reinterpret_cast<const sockaddr*>(&a), sizeof a};
}

std::uint16_t port_of(int fd) {
    socket_address a;
    a.size = sizeof a.storage;
    getsockname(fd, reinterpret_cast<sockaddr*>(&a.storage), &a.size);
    return a.port();
}

int socket_at(const socket_address& at, bool listening, bool v6_only = false) {
    const int fd = socket(at.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int on = v6_only ? 1 : 0;
    if (at.is_v6()) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    EXPECT_EQ(bind(fd, at.get(), at.size), 0);
    if (listening) {
        EXPECT_EQ(listen(fd, 8), 0);
    }
    return fd;
}

/// Whether somebody listens there.
bool connects(std::uint16_t port) {
    const socket_address at = v4("127.0.0.1", port);
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const bool ok = connect(fd, at.get(), at.size) == 0;
    close(fd);
    return ok;
}

} // namespace

TEST(ListenerTable, GivesTheNextInstanceTheSameSocket) {
    listener_table t;
    const auto first = t.take(v4("127.0.0.1", 0), 8, 1, true);
    ASSERT_TRUE(first);
    const std::uint16_t port = port_of(*first);
    EXPECT_NE(port, 0);
    t.give_back_all(1, start);
    EXPECT_TRUE(connects(port)); // in the backlog
    EXPECT_EQ(t.take(v4("127.0.0.1", 0), 8, 2, true), first);
    EXPECT_EQ(t.take(v4("127.0.0.1", port), 8, 3, true), first); // beside it: an upgrade
    EXPECT_EQ(t.size(), 1U);
}

TEST(ListenerTable, GivesTheSamePortsToThoseWhoAskInTheSameOrder) {
    listener_table t;
    const auto a = t.take(v4("127.0.0.1", 0), 8, 1, true);
    const auto b = t.take(v4("127.0.0.1", 0), 8, 1, true);
    ASSERT_TRUE(a && b);
    EXPECT_NE(*a, *b);
    t.give_back_all(1, start);
    EXPECT_EQ(t.take(v4("127.0.0.1", 0), 8, 2, true), a);
    EXPECT_EQ(t.take(v4("127.0.0.1", 0), 8, 2, true), b);
    const auto c = t.take(v4("127.0.0.1", 0), 8, 2, true);
    ASSERT_TRUE(c);
    EXPECT_EQ(t.size(), 3U);
}

TEST(ListenerTable, RefusesAnInstanceThatHasTheAddressAlready) {
    listener_table t;
    const auto first = t.take(v4("127.0.0.1", 0), 8, 1, true);
    ASSERT_TRUE(first);
    const socket_address at = v4("127.0.0.1", port_of(*first));
    EXPECT_EQ(t.take(at, 8, 1, true), std::unexpected(EADDRINUSE));
    t.give_back(at, 1, start);
    EXPECT_EQ(t.take(at, 8, 1, true), first);
}

TEST(ListenerTable, SaysWhyItCannotBind) {
    const int taken = socket_at(v4("127.0.0.1", 0), true);
    listener_table t;
    EXPECT_EQ(t.take(v4("127.0.0.1", port_of(taken)), 8, 1, true), std::unexpected(EADDRINUSE));
    EXPECT_EQ(t.take(v4("192.0.2.1", 0), 8, 1, true), std::unexpected(EADDRNOTAVAIL));
    EXPECT_EQ(t.size(), 0U);
    close(taken);
}

TEST(ListenerTable, ClosesWhatNobodyHasUsedForAWhile) {
    listener_table t;
    const auto kept = t.take(v4("127.0.0.1", 0), 8, 1, true);
    const auto left = t.take(v4("127.0.0.1", 0), 8, 1, true);
    ASSERT_TRUE(kept && left);
    const std::uint16_t kept_port = port_of(*kept);
    const std::uint16_t left_port = port_of(*left);
    t.give_back(v4("127.0.0.1", left_port), 1, start + 5s);
    t.close_unused(start + 4s);
    EXPECT_TRUE(connects(left_port));
    t.close_unused(start + 5s);
    EXPECT_FALSE(connects(left_port));
    EXPECT_TRUE(connects(kept_port));
    t.close_all();
    EXPECT_FALSE(connects(kept_port));
}

TEST(ListenerTable, GivesOutAdoptedSocketsByTheirAddressAndKeepsThem) {
    listener_table t;
    const int passed = socket_at(v4("127.0.0.1", 0), true);
    ASSERT_TRUE(t.adopt(passed));
    const std::uint16_t port = port_of(passed);
    EXPECT_EQ(fcntl(passed, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    EXPECT_EQ(fcntl(passed, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
    EXPECT_EQ(t.take(v4("127.0.0.1", 1), 8, 1, false), -1);
    EXPECT_EQ(t.take(v4("127.0.0.1", 0), 8, 1, false), -1); // nobody means a socket of a known port by that
    EXPECT_EQ(t.take(v4("0.0.0.0", port), 8, 1, false), -1);
    EXPECT_EQ(t.take(v4("127.0.0.1", port), 8, 1, false), passed);
    t.give_back_all(1, start);
    t.close_unused(start + 1h);
    EXPECT_EQ(t.take(v4("127.0.0.1", port), 8, 2, false), passed);
}

TEST(ListenerTable, AdoptsNothingButListeners) {
    listener_table t;
    const int silent = socket_at(v4("127.0.0.1", 0), false);
    const int datagrams = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int pipe_ends[2];
    ASSERT_EQ(pipe(pipe_ends), 0);
    const std::pair<int, const char*> others[] = {{silent, "a TCP socket that does not listen"},
                                                  {datagrams, "a datagram socket"},
                                                  {pipe_ends[0], "no socket"},
                                                  {pipe_ends[1], "no socket"}};
    for (const auto& [fd, what] : others) {
        const auto taken = t.adopt(fd);
        ASSERT_FALSE(taken);
        EXPECT_EQ(taken.error(), what);
        close(fd);
    }
    EXPECT_EQ(t.adopt(-1).error(), "no socket");
    EXPECT_EQ(t.size(), 0U);
}

TEST(ListenerTable, AdoptsNoUnixSocketOfAnyType) {
    for (const int type :
         {SOCK_STREAM, SOCK_SEQPACKET}) { // both listen, and neither has an address of a server's
        listener_table t;
        const int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
        sockaddr_un a{};
        a.sun_family = AF_UNIX;
        ASSERT_EQ(bind(fd, reinterpret_cast<const sockaddr*>(&a), sizeof a.sun_family),
                  0); // the system names it
        ASSERT_EQ(listen(fd, 8), 0);
        const auto taken = t.adopt(fd);
        ASSERT_FALSE(taken);
        EXPECT_EQ(taken.error(), "a Unix socket");
        close(fd);
    }
}

TEST(ListenerTable, AdoptsNoSeqpacketSocket) {
    listener_table t;
    const int fd = socket(AF_INET, SOCK_SEQPACKET | SOCK_CLOEXEC, IPPROTO_SCTP);
    if (fd < 0) GTEST_SKIP() << "the system has no SCTP";
    const socket_address at = v4("127.0.0.1", 0);
    ASSERT_EQ(bind(fd, at.get(), at.size), 0);
    ASSERT_EQ(listen(fd, 8), 0);
    const auto taken = t.adopt(fd);
    ASSERT_FALSE(taken);
    EXPECT_EQ(taken.error(), "a SOCK_SEQPACKET socket");
    close(fd);
}

TEST(ListenerTable, ServesTheWildcardOfIpv4FromAnAdoptedSocketOfBothFamilies) {
    const int probe = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (probe < 0) GTEST_SKIP() << "no IPv6 here";
    close(probe);
    listener_table t;
    const int both = socket_at(v6("::", 0), true);
    const int only = socket_at(v6("::", 0), true, true);
    ASSERT_TRUE(t.adopt(both) && t.adopt(only));
    EXPECT_EQ(t.take(v4("0.0.0.0", port_of(both)), 8, 1, false), both);
    EXPECT_EQ(t.take(v4("127.0.0.1", port_of(both)), 8, 1, false), -1);
    EXPECT_EQ(t.take(v4("0.0.0.0", port_of(only)), 8, 1, false), -1);
    EXPECT_EQ(t.take(v6("::", port_of(only)), 8, 1, false), only);
}
