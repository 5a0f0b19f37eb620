// How often a program asks the heap for memory: all of its threads, every way to ask. Its definitions replace the C library's
// `malloc` and its kin, on which `operator new` rests.
#pragma once

#include <cstdint>

namespace genever::test {

/// So far, since the program's start.
std::uint64_t heap_allocations() noexcept;

} // namespace genever::test
