// A warm server answers without the heap: no allocation in the whole program while requests come in over connections that have
// been used before.
#include "heap_count.hpp"

#include <genever/genever.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <arpa/inet.h>
#include <atomic>
#include <cstdint>
#include <memory>
#include <netinet/in.h>
#include <string>
#include <string_view>
#include <sys/socket.h>
#include <sys/time.h>
#include <thread>
#include <unistd.h>
#include <utility>
#include <vector>

namespace genever {
namespace {

using namespace std::chrono_literals;
using test::heap_allocations;

constexpr int connections = 16;

/// A client that needs no memory: blocking sockets, and a buffer on its stack.
class plain_client {
public:
    explicit plain_client(std::uint16_t port) noexcept
        : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
        const timeval patience{.tv_sec = 10, .tv_usec = 0};
        ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        sockaddr_in at{};
        at.sin_family = AF_INET;
        at.sin_port = htons(port);
        at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        if (::connect(fd_, reinterpret_cast<const sockaddr*>(&at), sizeof at) != 0) {
            ::close(fd_);
            fd_ = -1;
        }
    }
    plain_client(plain_client&& o) noexcept : fd_(std::exchange(o.fd_, -1)) {}
    ~plain_client() {
        if (fd_ >= 0) ::close(fd_);
    }
    bool say(std::string_view request) const noexcept {
        return ::send(fd_, request.data(), request.size(), MSG_NOSIGNAL) ==
               static_cast<ssize_t>(request.size());
    }
    /// Whether the answer begins with this and has this body.
    bool hear(std::string_view body, std::string_view status) const noexcept {
        char answer[2048];
        std::size_t size = 0;
        while (size < sizeof answer) {
            const ssize_t n = ::recv(fd_, answer + size, sizeof answer - size, 0);
            if (n <= 0) return false;
            size += static_cast<std::size_t>(n);
            const std::string_view got{answer, size};
            if (got.ends_with(body)) return got.starts_with(status);
        }
        return false;
    }

private:
    int fd_;
};

struct outcome {
    bool answered = true;
    std::uint64_t allocations = 0;
};

/// Asks over each connection in turn, many times, and counts once they are warm.
std::atomic<bool> full{false}; // the class of `/full` is

outcome ask(std::uint16_t port, std::string_view request, std::string_view body, int rounds,
            std::string_view status) {
    std::vector<plain_client> clients;
    const plain_client first{port};
    if (!status.starts_with("HTTP/1.1 200 ")) { // this one has the only place, for good
        first.say(request);
        for (const time_point end = now() + 10s; !full && now() < end;) std::this_thread::sleep_for(1ms);
    }
    for (int i = 0; i < connections; ++i) clients.emplace_back(port);
    outcome o{.answered = true, .allocations = ~std::uint64_t{0}};
    // The least of several stretches: what a request takes shows in each; what a stall of the machine costs (a connection that has
    // gone idle meanwhile, another thread) in one.
    const int stretch = rounds / 8;
    std::uint64_t before = 0;
    for (int i = 0; i < rounds && o.answered; ++i) {
        if (i > stretch && i % stretch == 0)
            o.allocations = std::min(o.allocations, heap_allocations() - before);
        if (i % stretch == 0) before = heap_allocations();
        for (const plain_client& c : clients) o.answered &= c.say(request);
        for (const plain_client& c : clients) o.answered &= c.hear(body, status);
    }
    return o;
}

struct counter : gen_server<counter> {
    struct next {
        using reply = std::uint64_t;
    };
    std::uint64_t handle(next) { return 7; }
};

/// The same routes for each test, behind the middleware that a service has.
outcome serve_and_ask(std::string_view request, std::string_view body, int rounds = 400,
                      std::string_view status = "HTTP/1.1 200 ") {
    web::router app;
    app.use(web::recovery());
    app.get("/ping", [](web::context& c) { c.json(200, {{"message", "pong"}}); });
    app.get("/users/:id/posts/:pid",
            [](web::context& c) { c.json(200, {{"id", c.param("id")}, {"pid", c.param("pid")}}); });
    app.post("/full",
             [](web::context& c) -> task<> {
                 full = true;
                 c.json(200, {{"in", "hand"}});
                 co_await sleep_for(1h);
             })
        .max_concurrency(1);
    app.get("/count", [](web::context& c) -> task<> {
        static const server_ref<counter> count{"counter"};
        const std::uint64_t n = co_await count.call<counter::next>();
        c.json(200, {{"n", n}});
    });

    std::atomic<std::uint16_t> port{0};
    outcome o;
    supervisor tree{
        strategy::one_for_one,
        {child<counter>("counter"),
         child<http::server>(
             "endpoint", {.address = "127.0.0.1",
                          .port = 0,
                          .handler = app,
                          // A stall of the machine is no overload to be tested here.
                          .admission = {.queue_target = 10s, .queue_limit = 20s, .refusal_rate = 10'000'000},
                          .on_listening = [&](const std::string&, std::uint16_t p) { port = p; }})}};
    runtime rt{{.workers = 2}};
    rt.run([&]() -> task<> {
        trap_exit(true);
        const auto root = co_await start_link(std::move(tree), "root");
        EXPECT_TRUE(root);
        co_await blocking([&] { o = ask(port, request, body, rounds, status); });
        exit(*root, exit_kind::shutdown);
        co_await receive([](exit_signal) {}, after(10s, [] {}));
    });
    return o;
}

TEST(HotPath, AnswersAPingWithoutTheHeap) {
    const outcome o = serve_and_ask("GET /ping HTTP/1.1\r\nHost: localhost\r\n\r\n", R"({"message":"pong"})");
    EXPECT_TRUE(o.answered);
    EXPECT_EQ(o.allocations, 0U);
}

TEST(HotPath, AnswersABrowserWithTwoParametersWithoutTheHeap) {
    const outcome o =
        serve_and_ask("GET /users/100001/posts/200002 HTTP/1.1\r\n"
                      "Host: localhost:4000\r\n"
                      "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n"
                      "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n"
                      "Accept-Language: en-US,en;q=0.5\r\n"
                      "Accept-Encoding: gzip, deflate, br, zstd\r\n"
                      "Connection: keep-alive\r\n"
                      "Upgrade-Insecure-Requests: 1\r\n"
                      "Sec-Fetch-Dest: document\r\n"
                      "Sec-Fetch-Mode: navigate\r\n"
                      "Sec-Fetch-Site: none\r\n"
                      "Priority: u=0, i\r\n\r\n",
                      R"({"id":"100001","pid":"200002"})");
    EXPECT_TRUE(o.answered);
    EXPECT_EQ(o.allocations, 0U);
}

TEST(HotPath, RefusesWithoutTheHeap) {
    const outcome o =
        serve_and_ask("POST /full HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}",
                      "try again later\"}}", 400, "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\n");
    EXPECT_TRUE(o.answered);
    EXPECT_EQ(o.allocations, 0U);
}

TEST(HotPath, WaitsForAnotherProcessWithoutTheHeap) {
    const outcome o = serve_and_ask("GET /count HTTP/1.1\r\nHost: localhost\r\n\r\n", R"({"n":7})");
    EXPECT_TRUE(o.answered);
    EXPECT_EQ(o.allocations, 0U);
}

TEST(HotPath, SeesAnAllocation) { // that the count can be wrong
    const std::uint64_t before = heap_allocations();
    const auto block = std::make_unique<std::string>(100, 'x');
    EXPECT_GE(heap_allocations() - before, 2U);
}

} // namespace
} // namespace genever
