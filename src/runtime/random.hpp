// Where choices at random come from.
#pragma once

#include <genever/runtime/detail/process.hpp>

#include <cstdint>

namespace genever::detail {

/// A random number for a choice that the process makes: from the simulation's generator in a simulation, from one of the
/// calling thread's own otherwise.
std::uint64_t random_number(process& p) noexcept;

} // namespace genever::detail
