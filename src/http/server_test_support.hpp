// For the server's tests: a server, a client, and what it says.
#pragma once

#include "server_processes.hpp"

#include <genever/http/admission.hpp>
#include <genever/net/tcp.hpp>
#include <genever/runtime/process.hpp>
#include <genever/runtime/receive.hpp>
#include <genever/runtime/runtime.hpp>
#include <genever/runtime/time.hpp>

#include <gtest/gtest.h>

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace genever::http::test {

using namespace std::chrono_literals;

inline std::size_t occurrences(std::string_view text, std::string_view of) {
    std::size_t n = 0;
    for (auto at = text.find(of); at != std::string_view::npos; at = text.find(of, at + of.size())) ++n;
    return n;
}

/// A client that sends bytes and collects what comes.
struct client {
    net::tcp_stream stream;
    std::string got;

    task<> connect(std::uint16_t port) {
        auto s = co_await net::connect(*net::endpoint::parse("127.0.0.1", port), now() + 5s);
        EXPECT_TRUE(s);
        stream = std::move(*s);
    }
    task<> say(std::string bytes) {
        const bool sent = (co_await stream.write_all(bytes, now() + 5s)).has_value();
        EXPECT_TRUE(sent);
    }
    /// Reads until `enough` is there so many times, or the end. True: it is.
    task<bool> hear(std::string enough, std::size_t times = 1) {
        for (;;) {
            if (occurrences(got, enough) >= times) co_return true;
            char buffer[4096];
            auto n = co_await stream.read_some(buffer, now() + 5s);
            if (!n || *n == 0) co_return false;
            got.append(buffer, *n);
        }
    }
    task<bool> hear_end() {
        for (;;) {
            char buffer[4096];
            auto n = co_await stream.read_some(buffer, now() + 5s);
            if (!n) co_return false;
            if (*n == 0) co_return true;
            got.append(buffer, *n);
        }
    }
};

/// A connection of a thread, which no worker needs to look after. `room`: bytes that it keeps unread; 0: the system's usual.
inline int connect_blocking(std::uint16_t port, int room = 0) {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (room != 0) ::setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof to), 0);
    return fd;
}

inline void send_blocking(int fd, const std::string& bytes) {
    EXPECT_EQ(::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL), static_cast<ssize_t>(bytes.size()));
}

/// Reads until it has heard that so many times, or the end, or nothing for ten seconds. How many times, and closes.
inline int hear_blocking(int fd, std::string_view what, std::size_t times) {
    const timeval patience{.tv_sec = 10, .tv_usec = 0};
    ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    std::string got;
    char bytes[1024];
    for (ssize_t n; occurrences(got, what) < times && (n = ::recv(fd, bytes, sizeof bytes, 0)) > 0;)
        got.append(bytes, static_cast<std::size_t>(n));
    ::close(fd);
    return static_cast<int>(occurrences(got, what));
}

/// A machine that is slow, or a sanitizer's program, is no overload where a test does not say how long a request may wait.
inline http::admission_options patient(http::admission_options o) {
    const http::admission_options usual;
    if (o.queue_target != usual.queue_target || o.queue_limit != usual.queue_limit) return o;
    o.queue_target = 10s;
    o.queue_limit = 20s;
    return o;
}

/// Runs `body(port)` beside a server with this handler; then shuts the server down and expects it to drain.
template <class Body>
void with_server(http::server_options options, Body body,
                 runtime_options how = {.workers = 2, .on_crash = [](const crash_report&) {}}) {
    options.address = "127.0.0.1";
    options.port = 0;
    options.admission = patient(options.admission);
    runtime rt{std::move(how)};
    rt.run([&]() -> task<> {
        trap_exit(true);
        auto server = std::make_shared<http::server_state>(options);
        const pid connections = http::start_connections(server);
        auto listener = http::start_listener(server, connections);
        EXPECT_TRUE(listener);
        co_await body(server->port);
        for (pid p : {*listener, connections}) {
            exit(p, exit_kind::shutdown);
            exit_reason why = co_await receive([](exit_signal s) { return s.reason; },
                                               after(5s, [] { return exit_reason{exit_kind::timeout}; }));
            EXPECT_EQ(why.kind(), exit_kind::shutdown);
        }
    });
}

/// Waits until there are so many, or for ten seconds.
inline task<> until(const std::atomic<int>& counter, int n) {
    const time_point end = now() + 10s;
    for (;;) {
        if (counter >= n || now() > end) break;
        co_await sleep_for(1ms);
    }
    EXPECT_GE(counter, n);
}

inline std::shared_ptr<http::traffic_class> a_class(http::traffic t) {
    return std::make_shared<http::traffic_class>(t);
}

inline std::string get(std::string path) { return "GET " + path + " HTTP/1.1\r\nHost: test\r\n\r\n"; }

} // namespace genever::http::test
