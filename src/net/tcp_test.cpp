#include <genever/net/tcp.hpp>
#include <genever/runtime/receive.hpp>
#include <genever/runtime/runtime.hpp>
#include <genever/runtime/time.hpp>

#include <gtest/gtest.h>

#include <string>

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
