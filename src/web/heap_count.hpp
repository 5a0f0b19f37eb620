// Counts what a test program takes from the heap. Its definitions replace the program's `operator new`.
#pragma once

#include <cstddef>

namespace genever::web::test {

/// How often the calling thread has allocated.
std::size_t heap_allocations() noexcept;

} // namespace genever::web::test
