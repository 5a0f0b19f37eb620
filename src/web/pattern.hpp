// Route patterns: `/users/:id/files/*path`.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace genever::web::detail {

/// How many parameters a pattern may have: what a lookup writes into without allocating.
inline constexpr std::size_t max_params = 16;

/// A piece of a pattern: literal text, or a parameter with its name.
struct pattern_piece {
    enum class type { literal, param, wildcard };
    type kind;
    /// The text to match, escapes resolved; or the parameter's name.
    std::string text;
};

/// Takes a pattern apart. A wildcard's piece stands for the slash before its `*` as well, which the literal
/// in front of it therefore lacks. Throws std::invalid_argument, naming the pattern, when
///  - it does not begin with `/` or has an empty segment (`//`),
///  - a parameter's name is empty, repeated, or followed by another `:` or `*` in its segment,
///  - a `*` does not follow a `/` or is not in the last segment,
///  - it has more than `max_params` parameters. A backslash makes a `:`, `*` or backslash behind it
///    literal: `/jobs/:id/tasks\:cancel`.
std::vector<pattern_piece> parse_pattern(std::string_view pattern);

/// Puts a group's prefix before a pattern with exactly one slash between them. An empty pattern means the
/// prefix itself.
std::string join_patterns(std::string_view prefix, std::string_view pattern);

} // namespace genever::web::detail
