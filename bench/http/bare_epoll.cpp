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
#include "bare.hpp"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

namespace {

/// So many full buffers in a row, and the others get their turn before the rest is read.
constexpr int reads_a_turn = 4;
constexpr std::uint32_t interest = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;

/// What is kept of a connection between two events. No byte of the input is: only how far its end matches.
struct connection {
    std::size_t matched = 0; ///< how many bytes of `end_of_head` the input read so far ends with
    std::size_t owed = 0;    ///< answers not yet begun
    std::string unsent;      ///< the rest of an answer that the socket had no room for
};

class server {
public:
    explicit server(std::uint16_t port)
        : listener_(bare::open_listener(port, SOCK_NONBLOCK)), signals_(bare::open_signals()) {
        epoll_ = epoll_create1(EPOLL_CLOEXEC);
        if (epoll_ < 0) bare::fail("epoll_create1");
        add(listener_, EPOLLIN);
        add(signals_, EPOLLIN);
    }

    void run() {
        std::array<epoll_event, 512> events;
        for (;;) {
            const int ready = epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), -1);
            if (ready < 0) {
                if (errno == EINTR) continue;
                bare::fail("epoll_wait");
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
    void add(int fd, std::uint32_t what) {
        epoll_event event{};
        event.events = what;
        event.data.fd = fd;
        if (epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) != 0) bare::fail("epoll_ctl");
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
                c.owed += bare::count_requests({input_.data(), size}, c.matched);
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
            const std::size_t count = std::min(c.owed, bare::answers_a_write);
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
    const int listener_;
    const int signals_;
    int spare_ = open("/dev/null", O_RDONLY | O_CLOEXEC);
    std::vector<connection> connections_ = std::vector<connection>(1024); ///< by descriptor
    std::array<char, 16384> input_;
    bare::canned_answers answers_;
};

} // namespace

int main() {
    bare::raise_descriptor_limit();
    server(bare::port_from_environment()).run();
}
