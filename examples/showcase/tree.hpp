// The supervision tree: for /tree, for the print at the start, and for finding a child by its name in it.
#pragma once

#include <genever/base/pid.hpp>
#include <genever/runtime/task.hpp>

#include <boost/json/value.hpp>

#include <cstdint>
#include <string>

namespace showcase {

/// The tree from the top supervisor down as JSON. Each process has a `status`: `running`; `busy`, when it did not answer
/// in time (a supervisor that starts or stops a child, of which the children are not known then, or a stateful child
/// with much to do); `restarting`, when its last start has failed and another try is due; `down`, when it
/// does not run and nobody is about to start it. Only what runs has a pid and an uptime (else null and 0), and
/// the stateful children show their `state`.
genever::task<boost::json::value> describe_tree();

/// The tree as lines of text, indented.
genever::task<std::string> draw_tree();

/// A child of the supervision tree, at some depth below its top.
struct found_child {
    enum class what : std::uint8_t {
        running,
        down,    ///< known, but not running at the moment
        unknown, ///< no child has this name
        busy,    ///< a supervisor did not tell its children in time: it may be among them
    };
    what kind = what::unknown;
    genever::pid pid; ///< where it is running
    std::string top;  ///< the child of the top supervisor that it is, or is below of
};

/// Looks a child up by its name in the tree. The top supervisor is nobody's child.
genever::task<found_child> find_child(std::string name);

} // namespace showcase
