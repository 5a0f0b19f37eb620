// The floor of bare_epoll over io_uring: what would another poller be worth? It answers what bare_epoll answers, in one of three ways:
//
//   BARE_IO=poll      io_uring says who is readable (a multishot poll), read and write are calls of their own: what could
//                     stand in epoll's place without anything else being changed
//   BARE_IO=send      epoll's part as it was (a multishot poll here, too), the answers of a turn go to the kernel together
//   BARE_IO=all       the kernel reads into buffers that it was given before (a multishot receive), and sends together
//
// It is an experiment, kept for its figures: a client that does not read, or that sends more than a buffer at once, is dropped.
// Usage: BARE_IO=all PORT=4001 bare_io_uring. SIGTERM and SIGINT end it with exit code 0.
#include "bare.hpp"

#include <liburing.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <utility>
#include <vector>

namespace {

enum class mode { poll, send, all };
enum class operation : std::uint8_t { accepted, readable, received, sent, signalled };

constexpr unsigned entries = 4096;
constexpr unsigned buffers = 1024;
constexpr unsigned buffer_size = 4096;
constexpr int group = 0;

class server {
public:
    server(mode m, std::uint16_t port)
        : mode_(m), listener_(bare::open_listener(port, 0)), signals_(bare::open_signals()) {
        io_uring_params p{};
        p.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN;
        check(io_uring_queue_init_params(entries, &ring_, &p), "io_uring_setup");
        if (mode_ == mode::all) give_buffers();
    }

    void run() {
        accept();
        io_uring_sqe* stop = entry();
        io_uring_prep_poll_add(stop, signals_, POLLIN);
        mark(stop, signals_, operation::signalled);
        for (;;) {
            const int n = io_uring_submit_and_wait(&ring_, 1);
            if (n < 0 && n != -EINTR) check(n, "io_uring_enter");
            answers_.refresh();
            unsigned head = 0;
            unsigned seen = 0;
            io_uring_cqe* event = nullptr;
            io_uring_for_each_cqe(&ring_, head, event) {
                ++seen;
                const auto what = static_cast<operation>(event->user_data & 0xff);
                if (what == operation::signalled) return;
                handle(what, static_cast<int>(event->user_data >> 8), *event);
            }
            if (given_back_ != 0) io_uring_buf_ring_advance(ring_of_buffers_, std::exchange(given_back_, 0));
            io_uring_cq_advance(&ring_, seen);
        }
    }

private:
    static void check(int result, const char* what) {
        if (result >= 0) return;
        errno = -result;
        bare::fail(what);
    }

    void give_buffers() {
        io_uring_buf_reg reg{};
        const std::size_t size = buffers * sizeof(io_uring_buf);
        void* const ring = std::aligned_alloc(4096, size);
        std::memset(ring, 0, size);
        reg.ring_addr = reinterpret_cast<std::uintptr_t>(ring);
        reg.ring_entries = buffers;
        reg.bgid = group;
        check(io_uring_register_buf_ring(&ring_, &reg, 0), "io_uring_register_buf_ring");
        ring_of_buffers_ = static_cast<io_uring_buf_ring*>(ring);
        io_uring_buf_ring_init(ring_of_buffers_);
        input_.resize(std::size_t{buffers} * buffer_size);
        for (unsigned i = 0; i < buffers; ++i) give_back(i);
        io_uring_buf_ring_advance(ring_of_buffers_, std::exchange(given_back_, 0));
    }
    char* buffer(unsigned i) { return input_.data() + std::size_t{i} * buffer_size; }
    void give_back(unsigned i) {
        io_uring_buf_ring_add(ring_of_buffers_, buffer(i), buffer_size, static_cast<unsigned short>(i),
                              io_uring_buf_ring_mask(buffers), static_cast<int>(given_back_++));
    }

    io_uring_sqe* entry() {
        io_uring_sqe* e = io_uring_get_sqe(&ring_);
        while (e == nullptr) {
            io_uring_submit(&ring_);
            e = io_uring_get_sqe(&ring_);
        }
        return e;
    }
    /// After the entry has been prepared, which would undo it.
    static void mark(io_uring_sqe* e, int fd, operation what) {
        e->user_data = static_cast<std::uint64_t>(fd) << 8 | static_cast<std::uint64_t>(what);
    }

    void accept() {
        io_uring_sqe* e = entry();
        io_uring_prep_multishot_accept(e, listener_, nullptr, nullptr, SOCK_CLOEXEC);
        mark(e, listener_, operation::accepted);
    }

    void await_input(int fd) {
        const operation what = mode_ == mode::all ? operation::received : operation::readable;
        io_uring_sqe* e = entry();
        if (mode_ == mode::all) {
            io_uring_prep_recv_multishot(e, fd, nullptr, 0, 0);
            e->flags |= IOSQE_BUFFER_SELECT;
            e->buf_group = group;
        } else {
            io_uring_prep_poll_multishot(e, fd, POLLIN | POLLRDHUP);
        }
        mark(e, fd, what);
    }

    void handle(operation what, int fd, const io_uring_cqe& event) {
        const bool more = (event.flags & IORING_CQE_F_MORE) != 0;
        switch (what) {
        case operation::accepted:
            if (event.res >= 0) {
                const auto slot = static_cast<std::size_t>(event.res);
                if (slot >= matched_.size()) matched_.resize(slot + slot / 2 + 64);
                matched_[slot] = 0;
                await_input(event.res);
            }
            if (!more) accept();
            return;
        case operation::readable: {
            if (event.res < 0) return;
            const ssize_t got = recv(fd, direct_.data(), direct_.size(), MSG_DONTWAIT);
            if (got > 0)
                answer(fd, {direct_.data(), static_cast<std::size_t>(got)});
            else if (got == 0 || errno != EAGAIN)
                close(fd);
            if (got > 0 && !more) await_input(fd);
            return;
        }
        case operation::received:
            if (event.res > 0) {
                const unsigned number = event.flags >> IORING_CQE_BUFFER_SHIFT;
                answer(fd, {buffer(number), static_cast<std::size_t>(event.res)});
                give_back(number);
                if (!more) await_input(fd);
            } else if (event.res == -ENOBUFS) {
                await_input(fd);
            } else {
                close(fd);
            }
            return;
        case operation::sent: shutdown(fd, SHUT_RDWR); return; // only failures are told
        case operation::signalled: return;
        }
    }

    void answer(int fd, std::string_view in) {
        const std::size_t owed = bare::count_requests(in, matched_[static_cast<std::size_t>(fd)]);
        if (owed == 0) return;
        const std::string_view out = answers_.take(std::min(owed, bare::answers_a_write));
        if (mode_ == mode::poll) {
            if (write(fd, out.data(), out.size()) != static_cast<ssize_t>(out.size()))
                shutdown(fd, SHUT_RDWR);
            return;
        }
        io_uring_sqe* e = entry();
        io_uring_prep_send(e, fd, out.data(), out.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
        e->flags |= IOSQE_CQE_SKIP_SUCCESS;
        mark(e, fd, operation::sent);
    }

    const mode mode_;
    const int listener_;
    const int signals_;
    io_uring ring_{};
    io_uring_buf_ring* ring_of_buffers_ = nullptr;
    unsigned given_back_ = 0;
    std::vector<char> input_;
    std::array<char, 16384> direct_{};
    std::vector<std::size_t> matched_ = std::vector<std::size_t>(1024); ///< by descriptor: see count_requests
    bare::canned_answers answers_;
};

mode mode_from_environment() {
    const char* text = std::getenv("BARE_IO");
    const std::string_view name = text == nullptr ? "all" : text;
    if (name == "poll") return mode::poll;
    if (name == "send") return mode::send;
    if (name == "all") return mode::all;
    std::fprintf(stderr, "BARE_IO is poll, send or all, not %s\n", text);
    std::exit(2);
}

} // namespace

int main() {
    bare::raise_descriptor_limit();
    server(mode_from_environment(), bare::port_from_environment()).run();
}
