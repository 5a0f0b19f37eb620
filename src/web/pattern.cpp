#include "web/pattern.hpp"

#include <algorithm>
#include <stdexcept>
#include <utility>

namespace genever::web::detail {
namespace {

[[noreturn]] void reject(std::string_view pattern, std::string_view why) {
    throw std::invalid_argument("route pattern '" + std::string{pattern} + "': " + std::string{why});
}

} // namespace

std::vector<pattern_piece> parse_pattern(std::string_view pattern) {
    using type = pattern_piece::type;
    if (!pattern.starts_with('/')) reject(pattern, "it must begin with '/'");
    if (pattern.find("//") != pattern.npos) reject(pattern, "it has an empty segment");

    std::vector<pattern_piece> pieces;
    std::size_t params = 0;
    std::string literal;
    const auto end_literal = [&] {
        if (!literal.empty()) pieces.push_back({type::literal, std::exchange(literal, {})});
    };
    for (std::size_t i = 0; i < pattern.size();) {
        const char c = pattern[i];
        if (c == '\\' && i + 1 < pattern.size() && std::string_view{":*\\"}.contains(pattern[i + 1])) {
            literal += pattern[i + 1];
            i += 2;
            continue;
        }
        if (c != ':' && c != '*') {
            literal += c;
            ++i;
            continue;
        }

        const std::size_t end = std::min(pattern.find('/', i), pattern.size());
        const std::string_view name = pattern.substr(i + 1, end - i - 1);
        if (name.empty()) reject(pattern, std::string{"a '"} + c + "' needs a name behind it");
        if (name.find_first_of(":*\\") != name.npos)
            reject(pattern, "a parameter's name reaches to the end of its segment, without ':', '*' or '\\'");
        for (const pattern_piece& p : pieces)
            if (p.kind != type::literal && p.text == name)
                reject(pattern, "the name '" + std::string{name} + "' occurs twice");
        if (++params > max_params)
            reject(pattern, "it has more than " + std::to_string(max_params) + " parameters");
        if (c == '*') {
            if (end != pattern.size()) reject(pattern, "a '*' must be in the last segment");
            if (pattern[i - 1] != '/') reject(pattern, "a '*' must stand at the beginning of its segment");
            literal.pop_back();
        }
        end_literal();
        pieces.push_back({c == ':' ? type::param : type::wildcard, std::string{name}});
        i = end;
    }
    end_literal();
    return pieces;
}

std::string join_patterns(std::string_view prefix, std::string_view pattern) {
    if (pattern.empty()) return std::string{prefix};
    while (prefix.ends_with('/')) prefix.remove_suffix(1);
    std::string joined{prefix};
    if (!pattern.starts_with('/')) joined += '/';
    joined += pattern;
    return joined;
}

} // namespace genever::web::detail
