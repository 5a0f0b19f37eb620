// What the environment says: every value is checked before anything starts.
#pragma once

#include <charconv>
#include <cstdint>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <string_view>

namespace showcase {

/// The number in an environment variable, or `fallback` where it is not set. Throws std::invalid_argument, naming the
/// variable and what it may be.
inline std::uint64_t number_from(const char* variable, std::uint64_t fallback, std::uint64_t least,
                                 std::uint64_t most) {
    const char* set = std::getenv(variable);
    if (!set || *set == '\0') return fallback;
    const std::string_view text{set};
    std::uint64_t n = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), n);
    if (error != std::errc{} || end != text.data() + text.size() || n < least || n > most)
        throw std::invalid_argument(std::string{variable} + "=" + set + ": it must be a whole number from " +
                                    std::to_string(least) + " to " + std::to_string(most));
    return n;
}

struct settings {
    std::uint16_t port = static_cast<std::uint16_t>(number_from("PORT", 4000, 0, 65535));
    std::uint64_t limit = number_from("LIMIT", 100, 1, 1'000'000'000);
    std::uint64_t window_ms = number_from("WINDOW_MS", 60'000, 1, 86'400'000);
    /// Within 5 seconds; one more, and the service gives up.
    unsigned max_restarts = static_cast<unsigned>(number_from("MAX_RESTARTS", 3, 0, 1'000'000'000));
    std::uint64_t read_timeout_ms = number_from("GENEVER_READ_TIMEOUT_MS", 10'000, 1, 3'600'000);
    /// How long requests may wait before the server is overloaded; eight times that at no time.
    std::uint64_t queue_target_ms = number_from("GENEVER_QUEUE_TARGET_MS", 5, 1, 3'600'000);
};

} // namespace showcase
