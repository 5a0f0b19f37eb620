#include <genever/otp/application_env.hpp>

#include <cctype>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <map>
#include <mutex>
#include <shared_mutex>
#include <stdexcept>
#include <utility>

namespace genever {

namespace {

class settings {
public:
    std::optional<std::string> find(std::string_view application, std::string_view key) const {
        std::shared_lock g{lock_};
        const auto a = all_.find(application);
        if (a == all_.end()) return {};
        const auto i = a->second.find(key);
        return i == a->second.end() ? std::nullopt : std::optional{i->second};
    }
    void store(std::string_view application, std::string_view key, std::string text, bool only_if_absent) {
        std::unique_lock g{lock_};
        auto& of_one = all_[std::string{application}];
        if (only_if_absent)
            of_one.try_emplace(std::string{key}, std::move(text));
        else
            of_one.insert_or_assign(std::string{key}, std::move(text));
    }
    void erase(std::string_view application, std::string_view key) {
        std::unique_lock g{lock_};
        const auto a = all_.find(application);
        if (a == all_.end()) return;
        if (const auto i = a->second.find(key); i != a->second.end()) a->second.erase(i);
    }

private:
    using texts = std::map<std::string, std::string, std::less<>>;
    mutable std::shared_mutex lock_;
    std::map<std::string, texts, std::less<>> all_;
};

settings& the_settings() {
    static settings s;
    return s;
}

std::string variable_of(std::string_view application, std::string_view key) {
    std::string name{application};
    (name += '_') += key;
    for (char& c : name) {
        const auto u = static_cast<unsigned char>(c);
        c = std::isalnum(u) ? static_cast<char>(std::toupper(u)) : '_';
    }
    return name;
}

} // namespace

namespace detail {

std::optional<env_text> find_env(std::string_view application, std::string_view key) {
    std::string variable = variable_of(application, key);
    if (const char* text = std::getenv(variable.c_str()); text && *text)
        return env_text{text, "the environment variable " + variable};
    if (auto text = the_settings().find(application, key))
        return env_text{*std::move(text),
                        "the setting " + std::string{key} + " of " + std::string{application}};
    return {};
}

void store_env(std::string_view application, std::string_view key, std::string text, bool only_if_absent) {
    the_settings().store(application, key, std::move(text), only_if_absent);
}

std::string to_env_text(bool v) { return v ? "true" : "false"; }

std::string to_env_text(double v) {
    char text[32];
    const auto r = std::to_chars(text, text + sizeof text, v); // the shortest that reads back the same
    return {text, r.ptr};
}

std::string to_env_text(duration v) { return v == infinity ? "infinity" : std::to_string(v.count()) + "ns"; }

std::optional<bool> parse_bool(std::string_view text) noexcept {
    if (text == "true" || text == "1" || text == "yes" || text == "on") return true;
    if (text == "false" || text == "0" || text == "no" || text == "off") return false;
    return {};
}

std::optional<duration> parse_duration(std::string_view text) noexcept {
    if (text == "infinity") return infinity;
    static constexpr std::pair<std::string_view, std::int64_t> units[] = {{"ns", 1},
                                                                          {"us", 1'000},
                                                                          {"ms", 1'000'000},
                                                                          {"s", 1'000'000'000},
                                                                          {"m", 60'000'000'000},
                                                                          {"h", 3'600'000'000'000}};
    std::int64_t n = 0;
    const auto r = std::from_chars(text.data(), text.data() + text.size(), n);
    if (r.ec != std::errc{}) return {};
    const std::string_view unit = text.substr(static_cast<std::size_t>(r.ptr - text.data()));
    for (const auto& [name, length] : units) {
        if (unit != name) continue;
        constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max();
        if (n > most / length || n < -(most / length)) return {};
        return duration{n * length};
    }
    return {};
}

void throw_bad_env(const env_text& e, std::string_view wanted) {
    throw std::invalid_argument("genever: " + e.from + " is '" + e.text + "', and must be " +
                                std::string{wanted});
}

void throw_no_env(std::string_view application, std::string_view key) {
    throw std::out_of_range("genever: no setting " + std::string{key} + " of " + std::string{application} +
                            ": neither stored nor in the environment variable " +
                            variable_of(application, key));
}

} // namespace detail

void delete_env(std::string_view application, std::string_view key) {
    the_settings().erase(application, key);
}

} // namespace genever
