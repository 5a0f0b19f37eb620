// Why something that a client sent could not be turned into a C++ value.
#pragma once

#include <string>
#include <string_view>
#include <utility>

namespace genever::web {

/// A client's mistake, ready for `context::abort_with`.
struct bind_error {
    /// The status to answer: 400 (not well formed), 408, 413 (body too long), 415 (not JSON) or 422
    /// (well-formed JSON of the wrong shape).
    int status = 400;
    /// What is wrong, for the client to read.
    std::string message;
    /// Where: `$.user.age` in a body, the parameter's name in a query; empty when it concerns the whole.
    std::string path;
};

} // namespace genever::web
