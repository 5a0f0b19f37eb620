#include "buffer.hpp"

#include <new>

namespace genever::http {

namespace {

// What one thread keeps: enough for the requests that it works on at once.
struct block_cache {
    static constexpr unsigned most = 64;
    char* blocks[most];
    unsigned count = 0;

    ~block_cache() {
        while (count) ::operator delete(blocks[--count]);
        count = most; // whoever still comes finds it full
    }
};

[[gnu::noinline]] block_cache& cache() {
    asm volatile(""); // a thread_local's address must not be kept across a suspension
    thread_local block_cache c;
    return c;
}

char* take_block(std::size_t size) {
    if (size == input_buffer::usual_size) {
        block_cache& c = cache();
        if (c.count > 0 && c.count < block_cache::most) return c.blocks[--c.count];
    }
    return static_cast<char*>(::operator new(size));
}

void give_block(char* block, std::size_t size) noexcept {
    if (size == input_buffer::usual_size) {
        block_cache& c = cache();
        if (c.count + 1 < block_cache::most) {
            c.blocks[c.count++] = block;
            return;
        }
    }
    ::operator delete(block);
}

} // namespace

std::span<char> input_buffer::room() {
    if (!data_) {
        data_ = take_block(usual_size);
        capacity_ = usual_size;
        begin_ = end_ = 0;
    } else if (end_ == capacity_ || begin_ == end_) {
        const std::size_t size = end_ - begin_;
        if (size > capacity_ / 2) { // moving would soon be needed again
            const std::size_t larger = capacity_ * 2;
            char* block = take_block(larger);
            std::memcpy(block, data_ + begin_, size);
            give_block(data_, capacity_);
            data_ = block;
            capacity_ = larger;
        } else {
            std::memmove(data_, data_ + begin_, size);
        }
        begin_ = 0;
        end_ = size;
    }
    return room_in_place();
}

void input_buffer::release() noexcept {
    if (data_) give_block(std::exchange(data_, nullptr), capacity_);
    capacity_ = begin_ = end_ = 0;
}

} // namespace genever::http
