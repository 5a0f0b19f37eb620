// The system's io_uring, for one thing: sends on several sockets with one call.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

struct io_uring_sqe;
struct io_uring_cqe;

namespace genever::detail {

/// One send among several.
struct send_request {
    int fd = -1;
    std::string_view bytes;
    int result = 0; ///< how many bytes the system took, or the negative errno
};

/// One thread at a time.
class send_ring {
public:
    /// How many a call can hold. The call itself is what is saved: of 16 there are 15 less, and those that wait for it do
    /// not wait for long.
    static constexpr std::size_t most = 16;

    send_ring() = default;
    send_ring(const send_ring&) = delete;
    ~send_ring();

    enum class opened : std::uint8_t {
        yes,
        never, ///< the system has none, or forbids it (containers' usual profiles do, and `kernel.io_uring_disabled`)
        not_now ///< it lacks memory or descriptors
    };
    /// Makes the ring and tries it out, a tenth of a millisecond.
    opened open() noexcept;
    bool is_open() const noexcept { return fd_ >= 0; }
    /// Sends, at most `most`, without waiting for anybody who reads, and gives each its result; -EAGAIN also where the system
    /// did not take it. The bytes are not looked at any more once it returns. The ring is open; if the system has broken its rules it is not
    /// afterwards.
    void send(std::span<send_request> requests) noexcept;

private:
    struct mapping {
        void* at = nullptr;
        std::size_t size = 0;
    };
    static bool map(mapping& m, int fd, std::size_t size, long offset) noexcept;
    bool make() noexcept;
    bool try_out() noexcept;
    void close() noexcept;

    int fd_ = -1;
    mapping rings_;
    mapping entries_;
    io_uring_sqe* requests_ = nullptr;
    io_uring_cqe* results_ = nullptr;
    unsigned* request_tail_ = nullptr;
    unsigned request_mask_ = 0;
    unsigned* result_head_ = nullptr;
    unsigned* result_tail_ = nullptr;
    unsigned result_mask_ = 0;
};

} // namespace genever::detail
