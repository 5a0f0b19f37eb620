// What the tables of C++ code say would become of an exception, asked before anything is thrown.
#pragma once

#include <cstdint>
#include <span>
#include <typeinfo>

namespace genever::detail {

enum class passage : std::uint8_t {
    through, ///< it leaves the function, whose cleanups run
    caught,  ///< the function catches it
    barred,  ///< std::terminate: `noexcept`, or an instruction that the compiler did not expect to throw
};

/// Reads the language-specific data of a function, as GCC and Clang lay it out for C++: what an exception that the
/// instruction at `pc` throws would do there, if it matches a `catch` of any of `types` and of everything. `lsda` null: the
/// function has nothing to clean up and nothing to catch. Async-signal-safe.
passage passage_at(const unsigned char* lsda, std::uintptr_t function_start, std::uintptr_t pc,
                   std::span<const std::type_info* const> types) noexcept;

} // namespace genever::detail
