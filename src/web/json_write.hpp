// Renders JSON into a string.
#pragma once

#include <boost/json/value.hpp>

#include <string>

namespace genever::web::detail {

/// Appends `v` to `out` without a copy in between; what is not UTF-8 becomes U+FFFD. Allocates only when
/// `out` has to grow.
void append_json(std::string& out, const boost::json::value& v);

} // namespace genever::web::detail
