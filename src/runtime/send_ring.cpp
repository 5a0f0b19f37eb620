#include "send_ring.hpp"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <linux/io_uring.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <utility>

namespace genever::detail {

namespace {

int enter(int fd, unsigned submit, unsigned wait_for) noexcept {
    const unsigned flags = wait_for != 0 ? IORING_ENTER_GETEVENTS : 0;
    return static_cast<int>(syscall(SYS_io_uring_enter, fd, submit, wait_for, flags, nullptr, 0));
}

} // namespace

send_ring::~send_ring() { close(); }

void send_ring::close() noexcept {
    for (mapping* m : {&rings_, &entries_})
        if (m->at) munmap(std::exchange(m->at, nullptr), m->size);
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
}

bool send_ring::map(mapping& m, int fd, std::size_t size, long offset) noexcept {
    void* const at = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd,
                          static_cast<off_t>(offset));
    if (at == MAP_FAILED) return false;
    m = {at, size};
    return true;
}

send_ring::opened send_ring::open() noexcept {
    errno = 0;
    if (make() && try_out()) return opened::yes;
    const int why = errno;
    close();
    return why == ENOMEM || why == EMFILE || why == ENFILE || why == EAGAIN ? opened::not_now : opened::never;
}

// Sends a byte: the system may know rings, but no sends by them (before Linux 5.6), or forbid the call that submits.
bool send_ring::try_out() noexcept {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0) return false;
    send_request r{ends[0], ".", 0};
    send({&r, 1});
    char got = 0;
    const bool works = r.result == 1 && recv(ends[1], &got, 1, 0) == 1 && got == '.';
    for (const int end : ends) ::close(end);
    errno = 0; // what does not work now does not later
    return works;
}

bool send_ring::make() noexcept {
    io_uring_params p{};
    fd_ = static_cast<int>(syscall(SYS_io_uring_setup, static_cast<unsigned>(most), &p)); // close-on-exec
    if (fd_ < 0) return false;
    const std::size_t requests_size = p.sq_off.array + p.sq_entries * sizeof(unsigned);
    const std::size_t results_size = p.cq_off.cqes + p.cq_entries * sizeof(io_uring_cqe);
    // One mapping for both rings since Linux 5.4.
    if ((p.features & IORING_FEAT_SINGLE_MMAP) == 0 ||
        !map(rings_, fd_, std::max(requests_size, results_size), IORING_OFF_SQ_RING) ||
        !map(entries_, fd_, p.sq_entries * sizeof(io_uring_sqe), IORING_OFF_SQES))
        return false;
    auto* const base = static_cast<std::byte*>(rings_.at);
    const auto number = [&](unsigned offset) { return reinterpret_cast<unsigned*>(base + offset); };
    requests_ = static_cast<io_uring_sqe*>(entries_.at);
    request_tail_ = number(p.sq_off.tail);
    request_mask_ = *number(p.sq_off.ring_mask);
    results_ = reinterpret_cast<io_uring_cqe*>(base + p.cq_off.cqes);
    result_head_ = number(p.cq_off.head);
    result_tail_ = number(p.cq_off.tail);
    result_mask_ = *number(p.cq_off.ring_mask);
    unsigned* const order = number(p.sq_off.array);
    for (unsigned i = 0; i < p.sq_entries; ++i) order[i] = i;
    return true;
}

// MSG_DONTWAIT makes each an attempt that is over within the call: the kernel keeps none for later.
void send_ring::send(std::span<send_request> requests) noexcept {
    const std::atomic_ref tail_of_requests{*request_tail_};
    const unsigned first = tail_of_requests.load(std::memory_order_relaxed);
    for (std::size_t i = 0; i < requests.size(); ++i) {
        send_request& r = requests[i];
        r.result = -EAGAIN;
        io_uring_sqe& e = requests_[(first + static_cast<unsigned>(i)) & request_mask_];
        e = {};
        e.opcode = IORING_OP_SEND;
        e.fd = r.fd;
        e.addr = reinterpret_cast<std::uintptr_t>(r.bytes.data());
        e.len = static_cast<std::uint32_t>(r.bytes.size());
        e.msg_flags = MSG_NOSIGNAL | MSG_DONTWAIT;
        e.user_data = i;
    }
    const auto all = static_cast<unsigned>(requests.size());
    // release: the kernel reads the entries after it
    tail_of_requests.store(first + all, std::memory_order_release);
    unsigned taken = 0;
    while (taken < all) {
        const int n = enter(fd_, all - taken, 0);
        if (n > 0)
            taken += static_cast<unsigned>(n);
        else if (n == 0 || errno != EINTR)
            break;
    }
    // What it did not take (it may lack memory) it has not read either, and does not read later.
    if (taken < all) tail_of_requests.store(first + taken, std::memory_order_release);
    const std::atomic_ref head_of_results{*result_head_};
    const std::atomic_ref tail_of_results{*result_tail_};
    for (unsigned head = head_of_results.load(std::memory_order_relaxed); taken > 0;) {
        // acquire: pairs with the kernel's release of the results
        if (head == tail_of_results.load(std::memory_order_acquire)) {
            // Not to be expected, but the bytes must not be looked at later. Closing the ring ends what is under way.
            if (enter(fd_, 0, taken) < 0 && errno != EINTR) return close();
            continue;
        }
        const io_uring_cqe& c = results_[head & result_mask_];
        requests[c.user_data].result = c.res;
        --taken;
        // release: the kernel may reuse the place
        head_of_results.store(++head, std::memory_order_release);
    }
}

} // namespace genever::detail
