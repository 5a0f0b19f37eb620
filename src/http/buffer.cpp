#include "buffer.hpp"

#include <genever/base/spinlock.hpp>

#include <new>
#include <sys/mman.h>
#include <unistd.h>
#include <vector>

namespace genever::http {

namespace {

// A sanitizer watches the heap.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool on_heap = true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
constexpr bool on_heap = true;
#else
constexpr bool on_heap = false;
#endif
#else
constexpr bool on_heap = false;
#endif

/// Blocks of the usual size, in pages of their own: those of connections that have become idle go back to the system. On the
/// heap they would lie between what the connections keep, and stay resident: thousands of connections that come together have
/// a block each for a moment.
class block_store {
public:
    char* take() {
        detail::spin_guard g{lock_};
        if (free_.empty()) add_region();
        char* const block = free_.back();
        free_.pop_back();
        return block;
    }
    void give(char* block) noexcept {
        // Larger pages than blocks hold other connections' blocks, too.
        static const bool has_own_pages = ::sysconf(_SC_PAGESIZE) <= long{input_buffer::usual_size};
        if (has_own_pages) ::madvise(block, input_buffer::usual_size, MADV_DONTNEED);
        detail::spin_guard g{lock_};
        free_.push_back(block); // there is room: see add_region
    }

private:
    static constexpr std::size_t region = 1024 * 1024;

    // Regions stay mapped: what they cost without their pages is address space.
    void add_region() {
        free_.reserve(all_ + region / input_buffer::usual_size);
        void* const r = ::mmap(nullptr, region, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (r == MAP_FAILED) throw std::bad_alloc{};
        ::madvise(r, region, MADV_NOHUGEPAGE); // a huge page stays as long as any block in it is used
        all_ += region / input_buffer::usual_size;
        for (std::size_t at = region; at != 0; at -= input_buffer::usual_size)
            free_.push_back(static_cast<char*>(r) + at - input_buffer::usual_size);
    }

    detail::spinlock lock_;
    std::vector<char*> free_; // apart from the blocks: a list through them would touch their pages
    std::size_t all_ = 0;
};

block_store& store() {
    alignas(block_store) static unsigned char storage[sizeof(block_store)];
    static auto* s = new (storage) block_store; // never destroyed: threads give blocks back at their end
    return *s;
}

char* new_block(std::size_t size) {
    if (!on_heap && size == input_buffer::usual_size) return store().take();
    return static_cast<char*>(::operator new(size));
}

void delete_block(char* block, std::size_t size) noexcept {
    if (!on_heap && size == input_buffer::usual_size) return store().give(block);
    ::operator delete(block);
}

// What one thread keeps: enough for the requests that it works on at once.
struct block_cache {
    static constexpr unsigned most = 64;
    char* blocks[most];
    unsigned count = 0;

    ~block_cache() {
        while (count) delete_block(blocks[--count], input_buffer::usual_size);
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
    return new_block(size);
}

/// False where it does not become one of those that the thread keeps.
bool keep_block(char* block, std::size_t size) noexcept {
    if (size != input_buffer::usual_size) return false;
    block_cache& c = cache();
    if (c.count + 1 >= block_cache::most) return false;
    c.blocks[c.count++] = block;
    return true;
}

void give_block(char* block, std::size_t size) noexcept {
    if (!keep_block(block, size)) delete_block(block, size);
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

void input_buffer::lend() noexcept {
    if (!data_ || !empty() || !keep_block(data_, capacity_)) return;
    data_ = nullptr;
    capacity_ = begin_ = end_ = 0;
}

void input_buffer::release() noexcept {
    if (data_) give_block(std::exchange(data_, nullptr), capacity_);
    capacity_ = begin_ = end_ = 0;
}

} // namespace genever::http
