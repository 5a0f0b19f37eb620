#include <genever/net/tcp.hpp>
#include <genever/runtime/receive.hpp>
#include <genever/runtime/runtime.hpp>
#include <genever/runtime/socket_source.hpp>
#include <genever/runtime/time.hpp>

#include <gtest/gtest.h>

#include <fcntl.h>
#include <memory>
#include <string>
#include <sys/socket.h>
#include <unistd.h>
#include <vector>

using namespace genever;
using namespace std::chrono_literals;

namespace {

net::endpoint loopback(std::uint16_t port) { return *net::endpoint::parse("127.0.0.1", port); }

} // namespace

TEST(Endpoint, ReadsAndWritesNumericAddresses) {
    EXPECT_EQ(to_string(loopback(80)), "127.0.0.1:80");
    EXPECT_EQ(to_string(*net::endpoint::parse("::1", 8080)), "[::1]:8080");
    EXPECT_FALSE(net::endpoint::parse("localhost", 1));
    EXPECT_FALSE(net::endpoint::parse("1.2.3", 1));
    EXPECT_FALSE(net::endpoint::parse(std::string_view{"1.2.3.4\0", 8}, 1));
    EXPECT_FALSE(net::endpoint::parse(std::string_view{"1.2.3.4\0.example", 16}, 1));
}

TEST(Tcp, EchoesAMegabyteBothWaysOnSeveralWorkers) {
    runtime rt{{.workers = 2}};
    rt.run([]() -> task<> {
        auto listener = net::tcp_listener::bind(loopback(0));
        EXPECT_TRUE(listener);
        const net::endpoint at = listener->local();
        spawn([l = std::move(*listener)]() mutable -> task<> {
            for (;;) {
                auto a = co_await l.accept();
                spawn([fd = std::move(a->fd)]() mutable -> task<> {
                    net::tcp_stream s{std::move(fd)};
                    char buffer[4096];
                    for (;;) {
                        auto n = co_await s.read_some(buffer);
                        if (!n || *n == 0) break;
                        const auto written = co_await s.write_all({buffer, *n});
                        if (!written) break;
                    }
                });
            }
        });
        const pid me = self();
        for (int client = 0; client < 8; ++client) {
            spawn([at, me, client]() -> task<> {
                auto s = co_await net::connect(at, now() + 5s);
                EXPECT_TRUE(s);
                std::string sent(1 << 20, static_cast<char>('a' + client));
                std::string got;
                char buffer[8192];
                for (std::size_t at_once = 0; at_once < sent.size(); at_once += 65536) {
                    const auto written = co_await s->write_all(std::string_view{sent}.substr(at_once, 65536));
                    EXPECT_TRUE(written);
                    for (;;) {
                        if (got.size() >= at_once + 65536) break;
                        auto n = co_await s->read_some(buffer, now() + 10s);
                        EXPECT_TRUE(n && *n > 0);
                        if (!n || *n == 0) break;
                        got.append(buffer, *n);
                    }
                }
                send(me, got == sent);
            });
        }
        for (int client = 0; client < 8; ++client)
            EXPECT_TRUE((co_await receive([](bool ok) { return ok; }, after(20s, [] { return false; }))));
    });
}

TEST(Tcp, ARefusedConnectionIsAnError) {
    runtime rt{{.workers = 1}};
    rt.run([]() -> task<> {
        std::uint16_t port;
        {
            auto l = net::tcp_listener::bind(loopback(0));
            port = l->local().port();
        }
        auto s = co_await net::connect(loopback(port), now() + 5s);
        EXPECT_FALSE(s);
        EXPECT_EQ(s.error(), std::errc::connection_refused);
    });
}

TEST(Tcp, AReadEndsAtItsDeadlineAndTheStreamGoesOn) {
    runtime rt{{.workers = 2}};
    rt.run([]() -> task<> {
        auto l = net::tcp_listener::bind(loopback(0));
        auto c = co_await net::connect(l->local());
        auto a = co_await l->accept();
        net::tcp_stream s{std::move(a->fd)};
        char buffer[16];
        auto n = co_await s.read_some(buffer, now() + 5ms);
        EXPECT_EQ(n.error(), std::errc::timed_out);
        EXPECT_TRUE(co_await c->write_all("hi"));
        n = co_await s.read_some(buffer, now() + 5s);
        EXPECT_EQ(n, 2U);
        *c = net::tcp_stream{};
        n = co_await s.read_some(buffer, now() + 5s);
        EXPECT_EQ(n, 0U);
    });
}

TEST(Tcp, AKilledReaderClosesItsConnection) {
    runtime rt{{.workers = 2}};
    rt.run([]() -> task<> {
        auto l = net::tcp_listener::bind(loopback(0));
        auto c = co_await net::connect(l->local());
        auto a = co_await l->accept();
        const pid reader = spawn([fd = std::move(a->fd)]() mutable -> task<> {
            net::tcp_stream s{std::move(fd)};
            char buffer[16];
            (void)co_await s.read_some(buffer);
        });
        co_await sleep_for(2ms);
        exit(reader, exit_kind::killed);
        char buffer[16];
        auto n = co_await c->read_some(buffer, now() + 5s);
        EXPECT_EQ(n, 0U);
    });
}

TEST(Tcp, ShutEndsTheWaitOfAnotherProcess) {
    runtime rt{{.workers = 2}};
    rt.run([]() -> task<> {
        auto l = net::tcp_listener::bind(loopback(0));
        auto c = co_await net::connect(l->local());
        spawn([&c]() -> task<> {
            co_await sleep_for(2ms);
            c->io().shut();
        });
        char buffer[16];
        auto n = co_await c->read_some(buffer, now() + 5s);
        EXPECT_EQ(n.error(), std::errc::connection_aborted);
    });
}

TEST(Tcp, APortInUseIsAnError) {
    runtime rt{{.workers = 1}};
    rt.run([] {
        auto l = net::tcp_listener::bind(loopback(0));
        auto again = net::tcp_listener::bind(loopback(l->local().port()));
        EXPECT_EQ(again.error(), std::errc::address_in_use);
    });
}

namespace {

/// Keeps one listening socket, and gives out copies of it.
struct kept_socket : socket_source {
    kept_socket() { EXPECT_EQ(::listen(fd, 16), 0); }
    ~kept_socket() override { ::close(fd); }

    std::expected<int, std::error_code> listener(const sockaddr*, socklen_t, int backlog) override {
        asked.push_back(backlog);
        if (error != std::errc{}) return std::unexpected(std::make_error_code(error));
        return none ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 0);
    }
    void closed(const sockaddr*, socklen_t) noexcept override { ++gone; }

    int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    std::vector<int> asked;
    int gone = 0;
    bool none = false;
    std::errc error{};
};

struct installed_source {
    explicit installed_source(std::shared_ptr<socket_source> s) { install_socket_source(std::move(s)); }
    ~installed_source() { install_socket_source(nullptr); }
};

} // namespace

TEST(Tcp, AListenerFromASourceServesAllWhoHaveConnectedBeforeAndAfterItsRestarts) {
    auto source = std::make_shared<kept_socket>();
    const installed_source installed{source};
    runtime rt{{.workers = 2}};
    rt.run([source]() -> task<> {
        std::uint16_t port = 0;
        for (int round = 0; round < 3; ++round) {
            // The first to connect in the next rounds does so while there is no listener: it waits in the backlog.
            std::expected<net::tcp_stream, std::error_code> early;
            if (port != 0) early = co_await net::connect(loopback(port), now() + 5s);
            EXPECT_TRUE(early);
            auto l = net::tcp_listener::bind(loopback(0), {.backlog = 7});
            EXPECT_TRUE(l);
            if (port != 0) {
                const auto a = co_await l->accept();
                EXPECT_TRUE(a);
            }
            port = l->local().port();
            auto c = co_await net::connect(loopback(port), now() + 5s);
            EXPECT_TRUE(c);
            const auto a = co_await l->accept();
            EXPECT_TRUE(a);
            EXPECT_EQ(source->gone, round);
        }
    });
    EXPECT_EQ(source->asked, (std::vector<int>{7, 7, 7}));
    EXPECT_EQ(source->gone, 3);
}

TEST(Tcp, AListenerIsBoundWhereTheSourceHasNone) {
    auto source = std::make_shared<kept_socket>();
    source->none = true;
    const installed_source installed{source};
    runtime rt{{.workers = 1}};
    rt.run([] {
        const auto l = net::tcp_listener::bind(loopback(0));
        EXPECT_TRUE(l);
        EXPECT_NE(l->local().port(), 0);
    });
    EXPECT_EQ(source->gone, 0);
}

TEST(Tcp, WhatTheSourceRefusesIsAnError) {
    auto source = std::make_shared<kept_socket>();
    source->error = std::errc::address_in_use;
    const installed_source installed{source};
    runtime rt{{.workers = 1}};
    rt.run([] {
        const auto l = net::tcp_listener::bind(loopback(0));
        EXPECT_EQ(l.error(), std::errc::address_in_use);
    });
    EXPECT_EQ(source->gone, 0);
}
