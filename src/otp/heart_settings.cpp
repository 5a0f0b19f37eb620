#include "heart_settings.hpp"

#include <charconv>
#include <cstdint>

namespace genever::detail {

namespace {

/// Takes the number at the front of `text`, and the space behind it.
template <class T>
bool take(std::string_view& text, T& n) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), n);
    if (error != std::errc{}) return false;
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    if (text.empty()) return true;
    if (text.front() != ' ') return false;
    text.remove_prefix(1);
    return true;
}

bool take(std::string_view& text, duration& d) {
    duration::rep n = 0;
    if (!take(text, n) || n < 0) return false;
    d = duration{n};
    return true;
}

bool take_version(std::string_view& text) {
    int version = 0;
    return take(text, version) && version == heart_protocol;
}

/// The whole number in `text`, from 0 to `most`.
std::optional<std::uint64_t> number(std::string_view text, std::uint64_t most) {
    std::uint64_t n = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), n);
    if (error != std::errc{} || end != text.data() + text.size() || n > most) return std::nullopt;
    return n;
}

constexpr std::uint64_t most_milliseconds = 1'000'000'000; // eleven days
constexpr std::uint64_t most_tries = 1'000'000'000;

} // namespace

std::expected<heart_options, std::string> with_environment(heart_options o, const environment& get) {
    auto wrong = [](const char* name, const char* text, const std::string& must) {
        return std::unexpected(std::string{name} + '=' + text + ": must be " + must);
    };
    auto set = [&](const char* name) -> const char* {
        const char* text = get(name);
        return text && *text != '\0' ? text : nullptr;
    };
    if (const char* text = set("GENEVER_HEART")) {
        const auto n = number(text, 1);
        if (!n) return wrong("GENEVER_HEART", text, "0 or 1");
        o.enabled = *n == 1;
    }
    struct {
        const char* name;
        duration& value;
        bool zero_is_never;
    } const durations[] = {{"GENEVER_HEART_HANG_MS", o.hang_timeout, true},
                           {"GENEVER_HEART_START_MS", o.start_timeout, true},
                           {"GENEVER_HEART_QUICK_MS", o.quick_failure, false},
                           {"GENEVER_HEART_BACKOFF_MS", o.backoff, false},
                           {"GENEVER_HEART_MOST_BACKOFF_MS", o.max_backoff, false}};
    for (const auto& d : durations) {
        const char* text = set(d.name);
        if (!text) continue;
        const auto n = number(text, most_milliseconds);
        if (!n) return wrong(d.name, text, "a whole number from 0 to " + std::to_string(most_milliseconds));
        d.value = *n == 0 && d.zero_is_never ? infinity : duration{std::chrono::milliseconds{*n}};
    }
    if (const char* text = set("GENEVER_HEART_GIVE_UP")) {
        const auto n = number(text, most_tries);
        if (!n)
            return wrong("GENEVER_HEART_GIVE_UP", text,
                         "a whole number from 0 to " + std::to_string(most_tries));
        o.give_up_after = static_cast<unsigned>(*n);
    }
    return o;
}

std::string to_text(const heart_orders& o) {
    std::string s = std::to_string(heart_protocol) + ' ' + std::to_string(o.heart);
    for (const duration d : {o.options.hang_timeout, o.options.start_timeout, o.options.quick_failure,
                             o.options.backoff, o.options.max_backoff})
        s += ' ' + std::to_string(d.count());
    return s + ' ' + std::to_string(o.options.give_up_after) + ' ' + o.program;
}

std::optional<heart_orders> heart_orders_from(std::string_view text) {
    heart_orders o;
    heart_options& h = o.options;
    h.enabled = true;
    if (!take_version(text) || !take(text, o.heart) || !take(text, h.hang_timeout) ||
        !take(text, h.start_timeout) || !take(text, h.quick_failure) || !take(text, h.backoff) ||
        !take(text, h.max_backoff) || !take(text, h.give_up_after) || text.empty())
        return std::nullopt;
    o.program = text;
    return o;
}

std::string to_text(const service_orders& o) {
    return std::to_string(heart_protocol) + ' ' + std::to_string(o.service) + ' ' + std::to_string(o.socket) +
           ' ' + (o.held ? '1' : '0') + ' ' + std::to_string(o.beat_every.count());
}

std::optional<service_orders> service_orders_from(std::string_view text) {
    service_orders o;
    int held = 0;
    if (!take_version(text) || !take(text, o.service) || !take(text, o.socket) || !take(text, held) ||
        !take(text, o.beat_every) || !text.empty())
        return std::nullopt;
    o.held = held != 0;
    return o;
}

} // namespace genever::detail
