// For the server's tests: a client, and what it says.
#pragma once

#include <genever/net/tcp.hpp>
#include <genever/runtime/time.hpp>

#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

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

inline std::string get(std::string path) { return "GET " + path + " HTTP/1.1\r\nHost: test\r\n\r\n"; }

} // namespace genever::http::test
