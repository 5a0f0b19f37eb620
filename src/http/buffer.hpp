// The bytes that a connection has read and not used yet. An idle connection has none, and no memory for them.
#pragma once

#include <cstddef>
#include <cstring>
#include <span>
#include <string_view>
#include <utility>

namespace genever::http {

/// A block of memory with bytes in the middle. Blocks of the usual size are kept for reuse on each thread.
class input_buffer {
public:
    static constexpr std::size_t usual_size = 8 * 1024;

    input_buffer() noexcept = default;
    input_buffer(input_buffer&& o) noexcept
        : data_(std::exchange(o.data_, nullptr)), capacity_(std::exchange(o.capacity_, 0)),
          begin_(std::exchange(o.begin_, 0)), end_(std::exchange(o.end_, 0)) {}
    input_buffer& operator=(input_buffer&& o) noexcept {
        std::swap(data_, o.data_);
        std::swap(capacity_, o.capacity_);
        std::swap(begin_, o.begin_);
        std::swap(end_, o.end_);
        return *this;
    }
    ~input_buffer() { release(); }

    std::string_view bytes() const noexcept { return {data_ + begin_, end_ - begin_}; }
    bool empty() const noexcept { return begin_ == end_; }
    void consume(std::size_t n) noexcept { begin_ += n; }

    /// Room behind the bytes, at least one byte: moves the bytes to the front or takes a larger block where needed,
    /// so every view into the buffer is void afterwards.
    std::span<char> room();
    /// Room behind the bytes as they lie; may be none.
    std::span<char> room_in_place() noexcept { return {data_ + end_, capacity_ - end_}; }
    void filled(std::size_t n) noexcept { end_ += n; }

    /// Gives the memory back; what was in it is gone.
    void release() noexcept;
    /// The same while nothing is in it, where that costs next to nothing: where the thread keeps the block for the next one.
    void lend() noexcept;

private:
    char* data_ = nullptr;
    std::size_t capacity_ = 0;
    std::size_t begin_ = 0;
    std::size_t end_ = 0;
};

} // namespace genever::http
