// libFuzzer: builds a route tree from the input's lines, looks the last one up, and compares with trying
// every pattern in turn. Each line but the last is a pattern; those that do not fit are skipped.
#include "web/pattern.hpp"
#include "web/percent.hpp"
#include "web/route_index.hpp"
#include "web/route_tree.hpp"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

using namespace genever::web::detail;

namespace {

/// There is only one way in which a single pattern can match.
bool matches(const std::vector<pattern_piece>& pattern, std::string_view path) {
    for (const pattern_piece& p : pattern) {
        switch (p.kind) {
        case pattern_piece::type::literal:
            if (!path.starts_with(p.text)) return false;
            path.remove_prefix(p.text.size());
            break;
        case pattern_piece::type::param: {
            const std::string_view value = path.substr(0, path.find('/'));
            if (value.empty()) return false;
            path.remove_prefix(value.size());
            break;
        }
        case pattern_piece::type::wildcard: return path.starts_with('/');
        }
    }
    return path.empty();
}

/// Of two patterns that match the same path, the one with the smaller rank wins.
std::string rank(const std::vector<pattern_piece>& pattern) {
    std::string r;
    for (const pattern_piece& p : pattern) {
        if (p.kind == pattern_piece::type::literal)
            r += std::string(p.text.size(), 'a');
        else
            r += p.kind == pattern_piece::type::param ? 'b' : 'c';
    }
    return r;
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    std::string_view input{reinterpret_cast<const char*>(data), size};
    route_tree tree;
    std::vector<std::vector<pattern_piece>> patterns;
    for (std::size_t end; (end = input.find('\n')) != input.npos; input.remove_prefix(end + 1)) {
        const std::string_view line = input.substr(0, end);
        try {
            tree.insert(line, static_cast<std::uint32_t>(patterns.size()));
            patterns.push_back(parse_pattern(line));
        } catch (const std::invalid_argument&) {
        }
    }

    path_params params;
    const auto found = route_index{tree}.find(input, params);
    const std::vector<pattern_piece>* best = nullptr;
    for (const auto& p : patterns)
        if (matches(p, input) && (best == nullptr || rank(p) < rank(*best))) best = &p;
    if (found.has_value() != (best != nullptr)) std::abort();
    if (found && &patterns[*found] != best) std::abort();
    std::size_t named = 0;
    for (std::size_t i = 0; found && i < patterns[*found].size(); ++i)
        named += patterns[*found][i].kind != pattern_piece::type::literal;
    if (found && named != params.size()) std::abort();

    std::string decoded(input.size(), '\0');
    if (const auto n = decode(input, decoded.data(), decoding::path)) {
        std::string again(*n, '\0');
        if (!decode(std::string_view{decoded}.substr(0, *n), again.data(), decoding::component)) std::abort();
    }
    return 0;
}
