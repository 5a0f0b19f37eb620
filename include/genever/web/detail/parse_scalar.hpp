// Numbers and truth values from text, whole or not at all.
#pragma once

#include <charconv>
#include <cmath>
#include <concepts>
#include <limits>
#include <string>
#include <string_view>
#include <system_error>

namespace genever::web::detail {

template <class T>
concept query_scalar =
    std::same_as<T, bool> || std::same_as<T, std::string> || std::floating_point<T> ||
    (std::integral<T> && !std::same_as<T, char> && !std::same_as<T, wchar_t> && !std::same_as<T, char8_t> &&
     !std::same_as<T, char16_t> && !std::same_as<T, char32_t>);

/// Reads all of `s`, in the decimal notation of std::from_chars: no leading `+` or space; numbers are
/// finite; truth is `true` or `1`, `false` or `0`.
template <query_scalar T>
bool parse_scalar(std::string_view s, T& out) {
    if constexpr (std::same_as<T, std::string>) {
        out = s;
        return true;
    } else if constexpr (std::same_as<T, bool>) {
        out = s == "true" || s == "1";
        return out || s == "false" || s == "0";
    } else {
        const auto [end, error] = std::from_chars(s.data(), s.data() + s.size(), out);
        if (error != std::errc{} || end != s.data() + s.size()) return false;
        if constexpr (std::floating_point<T>) return std::isfinite(out);
        return true;
    }
}

/// What a value of this type must look like, for an error message.
template <query_scalar T>
std::string scalar_rule() {
    if constexpr (std::same_as<T, bool>)
        return "must be true, false, 1 or 0";
    else if constexpr (std::floating_point<T>)
        return "must be a number";
    else
        return "must be an integer from " + std::to_string(std::numeric_limits<T>::min()) + " to " +
               std::to_string(std::numeric_limits<T>::max());
}
template <>
inline std::string scalar_rule<std::string>() {
    return "must be text";
}

} // namespace genever::web::detail
