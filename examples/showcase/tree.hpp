// The supervision tree, for /tree and for the print at the start.
#pragma once

#include <genever/runtime/task.hpp>

#include <boost/json/value.hpp>

#include <string>

namespace showcase {

/// The tree from the top supervisor down as JSON; the stateful children show their state.
genever::task<boost::json::value> describe_tree();

/// The tree as lines of text, indented.
genever::task<std::string> draw_tree();

} // namespace showcase
