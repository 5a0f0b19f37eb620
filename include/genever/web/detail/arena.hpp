// Memory that lives as long as one request.
#pragma once

#include <cstddef>
#include <string_view>

namespace genever::web::detail {

/// Hands out memory and takes it back all at once in its destructor; destructors of what lies in it are its
/// user's business. Small requests are met from within the object. One thread at a time.
class arena {
public:
    arena() noexcept : next_(inside_), end_(inside_ + sizeof inside_) {}
    ~arena() {
        if (chunks_ != nullptr) free_chunks();
    }
    arena(const arena&) = delete;
    arena& operator=(const arena&) = delete;

    /// `align` is at most that of std::max_align_t. Throws std::bad_alloc.
    void* allocate(std::size_t size, std::size_t align);
    char* allocate_chars(std::size_t size) { return static_cast<char*>(allocate(size, 1)); }
    std::string_view copy(std::string_view s);
    /// Makes the last `allocate_chars` shorter.
    void give_back(std::size_t unused) noexcept { next_ -= unused; }

private:
    struct chunk {
        chunk* before;
        std::size_t size;
    };
    void free_chunks() noexcept;

    std::byte* next_;
    std::byte* end_;
    chunk* chunks_ = nullptr;
    alignas(std::max_align_t) std::byte inside_[384];
};

} // namespace genever::web::detail
