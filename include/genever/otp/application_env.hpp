// Settings of applications: from code, and from environment variables.
#pragma once

#include <genever/base/clock.hpp>

#include <charconv>
#include <concepts>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>

namespace genever {

namespace detail {

template <class T>
concept env_type = std::same_as<T, bool> || std::integral<T> || std::floating_point<T> ||
                   std::same_as<T, std::string> || std::same_as<T, duration>;

/// The text of a setting, and where it is from, for complaints.
struct env_text {
    std::string text;
    std::string from;
};
std::optional<env_text> find_env(std::string_view application, std::string_view key);
void store_env(std::string_view application, std::string_view key, std::string text, bool only_if_absent);

std::string to_env_text(bool v);
std::string to_env_text(double v);
std::string to_env_text(duration v);
inline std::string to_env_text(std::string_view v) { return std::string{v}; }
inline std::string to_env_text(const char* v) { return v; }
template <std::integral T>
    requires(!std::same_as<T, bool>)
std::string to_env_text(T v) {
    return std::to_string(v);
}
template <class Rep, class Period>
std::string to_env_text(std::chrono::duration<Rep, Period> v) {
    return to_env_text(duration{v});
}

/// Nothing: it is not one.
std::optional<bool> parse_bool(std::string_view text) noexcept;
std::optional<duration> parse_duration(std::string_view text) noexcept;
[[noreturn]] void throw_bad_env(const env_text& e, std::string_view wanted);
[[noreturn]] void throw_no_env(std::string_view application, std::string_view key);

template <class T>
T parse_env(const env_text& e) {
    const std::string_view text = e.text;
    if constexpr (std::same_as<T, std::string>) {
        return e.text;
    } else if constexpr (std::same_as<T, bool>) {
        if (const auto v = parse_bool(text)) return *v;
        throw_bad_env(e, "true or false");
    } else if constexpr (std::same_as<T, duration>) {
        if (const auto v = parse_duration(text)) return *v;
        throw_bad_env(e, "a length of time such as 500ms, 5s or 2h");
    } else {
        T v{};
        const auto r = std::from_chars(text.data(), text.data() + text.size(), v);
        if (!text.empty() && r.ec == std::errc{} && r.ptr == text.data() + text.size()) return v;
        throw_bad_env(e, std::integral<T> ? "a whole number in range" : "a number");
    }
}

} // namespace detail

/// The setting `key` of an application. Where it is looked for, in this order: the environment variable `APPLICATION_KEY`
/// (in capitals, all but letters and digits as `_`), if it is set and not empty; what `put_env` has stored; what the
/// application itself was given (`application::env`). Types: bool, integers, floating point, std::string, `duration`.
/// Throws std::invalid_argument, which names the place, when the value is none of this type. Any thread.
template <class T>
std::optional<T> get_env(std::string_view application, std::string_view key) {
    static_assert(
        detail::env_type<T>,
        "genever: a setting is a bool, an integer, a floating point number, a std::string or a duration");
    const auto found = detail::find_env(application, key);
    return found ? std::optional<T>{detail::parse_env<T>(*found)} : std::nullopt;
}
/// The same, and `otherwise` where there is none.
template <class T>
T get_env(std::string_view application, std::string_view key, std::type_identity_t<T> otherwise) {
    auto found = get_env<T>(application, key);
    return found ? *std::move(found) : std::move(otherwise);
}
/// The same; throws std::out_of_range where there is none.
template <class T>
T fetch_env(std::string_view application, std::string_view key) {
    auto found = get_env<T>(application, key);
    if (!found) detail::throw_no_env(application, key);
    return *std::move(found);
}
/// Stores a setting, for the whole program. An environment variable goes before it. Any thread.
template <class T>
void put_env(std::string_view application, std::string_view key, const T& value) {
    detail::store_env(application, key, detail::to_env_text(value), false);
}
/// Forgets what was stored.
void delete_env(std::string_view application, std::string_view key);

} // namespace genever
