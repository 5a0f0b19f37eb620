// The heart's side of `run`. See docs/heart.md.
#pragma once

#include <genever/otp/heart_options.hpp>

#include <string>

namespace genever::detail {

/// Makes a heart of this process: the same program is executed in its place, and before its `main` runs it is the heart,
/// which starts the service as its child. Returns only when that fails, and says why.
std::string become_heart(const heart_options& options);

} // namespace genever::detail
