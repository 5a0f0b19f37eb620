#include <genever/web/detail/arena.hpp>

#include <genever/base/pool.hpp>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <new>

namespace genever::web::detail {
namespace {

constexpr std::size_t chunk_size = 2048;

} // namespace

void arena::free_chunks() noexcept {
    while (chunks_ != nullptr) {
        chunk* c = chunks_;
        chunks_ = c->before;
        genever::detail::pool_free(c, c->size);
    }
}

void* arena::allocate(std::size_t size, std::size_t align) {
    const auto address = reinterpret_cast<std::uintptr_t>(next_);
    const std::size_t padding = (align - address % align) % align;
    if (size <= static_cast<std::size_t>(end_ - next_) &&
        padding <= static_cast<std::size_t>(end_ - next_) - size) {
        std::byte* p = next_ + padding;
        next_ = p + size;
        return p;
    }
    constexpr std::size_t header = (sizeof(chunk) + alignof(std::max_align_t) - 1) /
                                   alignof(std::max_align_t) * alignof(std::max_align_t);
    if (size > std::size_t{0} - header - 1) throw std::bad_alloc{};
    const std::size_t whole = std::max(chunk_size, header + size);
    auto* block = static_cast<std::byte*>(genever::detail::pool_allocate(whole));
    chunks_ = new (block) chunk{chunks_, whole};
    next_ = block + header + size;
    end_ = block + whole;
    return block + header;
}

std::string_view arena::copy(std::string_view s) {
    if (s.empty()) return {};
    char* p = allocate_chars(s.size());
    std::memcpy(p, s.data(), s.size());
    return {p, s.size()};
}

} // namespace genever::web::detail
