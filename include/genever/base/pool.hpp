// Memory for the small, short-lived blocks of the runtime: coroutine frames and messages.
#pragma once

#include <cstddef>

namespace genever::detail {

/// Gives `size` bytes, aligned for any scalar type. Small blocks come from a cache of the calling thread (a
/// few instructions), larger ones from the heap. Throws std::bad_alloc.
/// Any thread may free what another has taken; surplus travels between threads in batches.
/// Under a sanitizer every block comes from the heap, so that a use after free is seen.
void* pool_allocate(std::size_t size);

/// Takes back a block of `pool_allocate(size)`; `size` must be the same.
void pool_free(void* block, std::size_t size) noexcept;

/// For a thread that has nothing else to do: hands the larger free blocks that it keeps over to the others, and returns memory
/// that has held none in use since it was called last to the system, half a MiB at most. True: there may be more.
bool pool_tidy() noexcept;
/// Whether `pool_tidy` has something to do. A hint.
bool pool_untidy() noexcept;

/// Makes objects of the class that derives from it (publicly; the most derived one) lie in the pool.
struct pooled {
    static void* operator new(std::size_t size) { return pool_allocate(size); }
    static void operator delete(void* block, std::size_t size) noexcept { pool_free(block, size); }
};

} // namespace genever::detail
