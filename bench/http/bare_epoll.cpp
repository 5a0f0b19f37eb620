// The floor that Genever's HTTP server is measured against: one thread, one edge-triggered epoll instance,
// and a canned answer to everything that ends in an empty line. It does what no server can leave out (accept,
// read, find the end of the request, write, survive slow and vanished clients) and nothing else: it does not
// look at the method, the target or the fields, and so it takes no request bodies.
//
// In a closed loop a request costs one read, one write and at most one epoll_wait:
// - a read that returns less than it asked for has emptied the socket (epoll(7)), so no second read is needed
//   to find EAGAIN; the peer's FIN is its own edge (EPOLLRDHUP);
// - the socket is registered once, for input and output together: no epoll_ctl afterwards;
// - the pipelined requests of one read are answered by one write.
//
// Usage: PORT=4001 bare_epoll. PORT=0 takes any free port. SIGTERM and SIGINT end it with exit code 0.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string>
#include <string_view>
#include <vector>

namespace {

constexpr std::string_view end_of_head = "\r\n\r\n";
constexpr std::size_t answers_a_write = 64;
/// So many full buffers in a row, and the others get their turn before the rest is read.
constexpr int reads_a_turn = 4;
constexpr std::uint32_t interest = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;

[[noreturn]] void fail(const char* what) {
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

/// What is kept of a connection between two events. No byte of the input is: only how far its end matches.
struct connection {
    std::size_t matched = 0; ///< how many bytes of `end_of_head` the input read so far ends with
    std::size_t owed = 0;    ///< answers not yet begun
    std::string unsent;      ///< the rest of an answer that the socket had no room for
};

/// Counts the request ends in `in`, carrying a partial match over from the last piece and into the next.
std::size_t count_requests(std::string_view in, std::size_t& matched) {
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

class server {
public:
    explicit server(std::uint16_t port) {
        open_listener(port);
        open_signals();
        epoll_ = epoll_create1(EPOLL_CLOEXEC);
        if (epoll_ < 0) fail("epoll_create1");
        add(listener_, EPOLLIN);
        add(signals_, EPOLLIN);
    }

    void run() {
        std::array<epoll_event, 512> events;
        for (;;) {
            const int ready = epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), -1);
            if (ready < 0) {
                if (errno == EINTR) continue;
                fail("epoll_wait");
            }
            answers_.refresh();
            for (int i = 0; i < ready; ++i) {
                const auto& event = events[static_cast<std::size_t>(i)];
                if (event.data.fd == signals_) return;
                if (event.data.fd == listener_) {
                    accept_all();
                } else {
                    serve(event.data.fd, (event.events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0);
                }
            }
        }
    }

private:
    void open_listener(std::uint16_t port) {
        listener_ = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (listener_ < 0) fail("socket");
        const int on = 1;
        setsockopt(listener_, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
        setsockopt(listener_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); // Linux: accepted sockets inherit it
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        address.sin_port = htons(port);
        if (bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) fail("bind");
        if (listen(listener_, SOMAXCONN) != 0) fail("listen");
        socklen_t size = sizeof address;
        getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
        std::printf("listening on http://127.0.0.1:%d\n", ntohs(address.sin_port));
        std::fflush(stdout);
    }

    void open_signals() {
        sigset_t set;
        sigemptyset(&set);
        sigaddset(&set, SIGTERM);
        sigaddset(&set, SIGINT);
        sigprocmask(SIG_BLOCK, &set, nullptr);
        signals_ = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
        if (signals_ < 0) fail("signalfd");
        std::signal(SIGPIPE, SIG_IGN); // a vanished client is EPIPE from write
    }

    void add(int fd, std::uint32_t what) {
        epoll_event event{};
        event.events = what;
        event.data.fd = fd;
        if (epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) != 0) fail("epoll_ctl");
    }

    void accept_all() {
        for (;;) {
            const int fd = accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
            if (fd >= 0) {
                const auto slot = static_cast<std::size_t>(fd);
                if (slot >= connections_.size()) connections_.resize(slot + slot / 2);
                connections_[slot] = connection{};
                add(fd, interest);
                continue;
            }
            if (errno == EMFILE || errno == ENFILE) {
                // The listener is level-triggered: without taking the connection off the queue and refusing
                // it, the loop would spin until another one ends.
                close(spare_);
                const int refused = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
                if (refused >= 0) close(refused);
                spare_ = open("/dev/null", O_RDONLY | O_CLOEXEC);
                if (refused >= 0) continue;
                return;
            }
            if (errno == ECONNABORTED || errno == EINTR) continue;
            return; // EAGAIN: the queue is empty
        }
    }

    void serve(int fd, bool ending) {
        connection& c = connections_[static_cast<std::size_t>(fd)];
        for (int turn = 0; turn < reads_a_turn; ++turn) {
            // While answers wait for room nothing is read: a client that does not read stops being served.
            switch (flush(fd, c)) {
            case sent::all: break;
            case sent::blocked: return;
            case sent::failed: close(fd); return;
            }
            const ssize_t got = read(fd, input_.data(), input_.size());
            if (got > 0) {
                const auto size = static_cast<std::size_t>(got);
                c.owed += count_requests({input_.data(), size}, c.matched);
                if (size == input_.size() || ending) continue;
                if (flush(fd, c) == sent::failed) close(fd);
                return;
            }
            if (got < 0 && errno == EINTR) continue;
            if (got < 0 && errno == EAGAIN) return;
            close(fd); // the client has ended the connection, and everything owed has been sent
            return;
        }
        // More input is waiting, whose edge has been consumed: modifying the registration raises it again.
        epoll_event event{};
        event.events = interest;
        event.data.fd = fd;
        epoll_ctl(epoll_, EPOLL_CTL_MOD, fd, &event);
    }

    enum class sent { all, blocked, failed };

    sent flush(int fd, connection& c) {
        if (!c.unsent.empty()) {
            const ssize_t put = write_some(fd, c.unsent);
            if (put < 0) return sent::failed;
            c.unsent.erase(0, static_cast<std::size_t>(put));
            if (!c.unsent.empty()) return sent::blocked;
        }
        while (c.owed > 0) {
            const std::size_t count = std::min(c.owed, answers_a_write);
            const std::string_view out = answers_.take(count);
            const ssize_t put = write_some(fd, out);
            if (put < 0) return sent::failed;
            c.owed -= count;
            if (static_cast<std::size_t>(put) < out.size()) {
                // Copied, since the next second's Date overwrites the canned bytes.
                c.unsent.assign(out.substr(static_cast<std::size_t>(put)));
                return sent::blocked;
            }
        }
        return sent::all;
    }

    /// Bytes written, 0 when there is no room, -1 when the client is gone (EPIPE, ECONNRESET).
    static ssize_t write_some(int fd, std::string_view bytes) {
        for (;;) {
            const ssize_t put = write(fd, bytes.data(), bytes.size());
            if (put >= 0) return put;
            if (errno == EAGAIN) return 0;
            if (errno != EINTR) return -1;
        }
    }

    int epoll_ = -1;
    int listener_ = -1;
    int signals_ = -1;
    int spare_ = open("/dev/null", O_RDONLY | O_CLOEXEC);
    std::vector<connection> connections_ = std::vector<connection>(1024); ///< by descriptor
    std::array<char, 16384> input_;
    canned_answers answers_;
};

std::uint16_t port_from_environment() {
    const char* text = std::getenv("PORT");
    if (text == nullptr) return 4001;
    std::uint16_t port = 0;
    const char* end = text + std::strlen(text);
    const auto [rest, error] = std::from_chars(text, end, port);
    if (error != std::errc{} || rest != end) {
        std::fprintf(stderr, "bare_epoll: PORT is not a port number: %s\n", text);
        std::exit(2);
    }
    return port;
}

void raise_descriptor_limit() {
    rlimit limit{};
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

} // namespace

int main() {
    raise_descriptor_limit();
    server(port_from_environment()).run();
}
