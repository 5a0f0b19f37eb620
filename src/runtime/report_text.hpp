// What the texts of crash and stall reports have in common.
#pragma once

#include <genever/base/pid.hpp>

#include <string>
#include <vector>

namespace genever::detail {

/// `<64.1> (label) named name`.
std::string who(pid p, const std::string& label, const std::vector<std::string>& names);

} // namespace genever::detail
