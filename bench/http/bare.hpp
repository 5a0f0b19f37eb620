// What the bare servers share: the canned answer, the end of a request, the sockets.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>

#include <algorithm>
#include <charconv>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string>
#include <string_view>

namespace bare {

inline constexpr std::string_view end_of_head = "\r\n\r\n";
inline constexpr std::size_t answers_a_write = 64;

[[noreturn]] inline void fail(const char* what) {
    std::perror(what);
    std::exit(1);
}

/// The canned answer with the current second's Date, repeated so that a pipelined batch is one write.
class canned_answers {
public:
    /// To be called once a turn of the loop; formats once a second.
    void refresh() {
        timespec now{};
        clock_gettime(CLOCK_REALTIME_COARSE, &now);
        if (now.tv_sec == second_) return;
        second_ = now.tv_sec;
        std::tm utc{};
        gmtime_r(&second_, &utc);
        char date[32];
        // Without a call to setlocale the names are the C locale's: those of RFC 9110 section 5.6.7.
        std::strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", &utc);
        std::string one = "HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=utf-8\r\nDate: ";
        one.append(date).append("\r\nContent-Length: 18\r\n\r\n{\"message\":\"pong\"}");
        size_ = one.size();
        bytes_.clear();
        for (std::size_t i = 0; i < answers_a_write; ++i) bytes_ += one;
    }

    /// The bytes of `count` answers, at most `answers_a_write`; valid until `refresh`.
    std::string_view take(std::size_t count) const { return {bytes_.data(), count * size_}; }

private:
    std::time_t second_ = -1;
    std::size_t size_ = 0;
    std::string bytes_;
};

/// Counts the request ends in `in`, carrying a partial match over from the last piece and into the next.
inline std::size_t count_requests(std::string_view in, std::size_t& matched) {
    std::size_t count = 0;
    while (!in.empty()) {
        if (matched == 0) {
            const void* end = memmem(in.data(), in.size(), end_of_head.data(), end_of_head.size());
            if (end != nullptr) {
                ++count;
                const auto before = static_cast<std::size_t>(static_cast<const char*>(end) - in.data());
                in.remove_prefix(before + end_of_head.size());
                continue;
            }
            in.remove_prefix(in.size() - std::min(in.size(), end_of_head.size() - 1));
        }
        // After a mismatch only a CR can begin a new match.
        const char byte = in.front();
        in.remove_prefix(1);
        matched = byte == end_of_head[matched] ? matched + 1 : (byte == '\r' ? 1 : 0);
        if (matched == end_of_head.size()) {
            ++count;
            matched = 0;
        }
    }
    return count;
}

/// A listening socket on the loopback; says where it listens.
inline int open_listener(std::uint16_t port, int flags) {
    const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
    if (listener < 0) fail("socket");
    const int on = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); // Linux: accepted sockets inherit it
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port);
    if (bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) fail("bind");
    if (listen(listener, SOMAXCONN) != 0) fail("listen");
    socklen_t size = sizeof address;
    getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size);
    std::printf("listening on http://127.0.0.1:%d\n", ntohs(address.sin_port));
    std::fflush(stdout);
    return listener;
}

/// SIGTERM and SIGINT as something to read.
inline int open_signals() {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigprocmask(SIG_BLOCK, &set, nullptr);
    const int signals = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (signals < 0) fail("signalfd");
    std::signal(SIGPIPE, SIG_IGN); // a vanished client is EPIPE from write
    return signals;
}

inline std::uint16_t port_from_environment() {
    const char* text = std::getenv("PORT");
    if (text == nullptr) return 4001;
    std::uint16_t port = 0;
    const char* end = text + std::strlen(text);
    const auto [rest, error] = std::from_chars(text, end, port);
    if (error != std::errc{} || rest != end) {
        std::fprintf(stderr, "PORT is not a port number: %s\n", text);
        std::exit(2);
    }
    return port;
}

inline void raise_descriptor_limit() {
    rlimit limit{};
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

} // namespace bare
