#include "web/route_index.hpp"

#include "web/pattern.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

namespace genever::web::detail {

static_assert(path_params::capacity == max_params);

namespace {

/// Whether so many characters are the same: most are few, for which a call would take longer than the look.
bool same(const char* a, const char* b, std::size_t size) noexcept {
    for (; size >= 8; size -= 8, a += 8, b += 8) {
        std::uint64_t x;
        std::uint64_t y;
        std::memcpy(&x, a, 8);
        std::memcpy(&y, b, 8);
        if (x != y) return false;
    }
    for (; size != 0; --size, ++a, ++b)
        if (*a != *b) return false;
    return true;
}

} // namespace

route_index::route_index(const route_tree& tree) {
    // How many routes there are at and below each node: children have higher numbers than their parents, or have been split off
    // from one and lower; so it is counted by walking down.
    std::vector<std::size_t> routes(tree.nodes_.size());
    const auto count = [&](const auto& self, route_tree::node_index at) -> std::size_t {
        const route_tree::node& n = tree.nodes_[at];
        std::size_t all = (n.route != none ? 1U : 0U) + (n.wildcard != none ? 1U : 0U);
        for (const auto child : n.literals) all += self(self, child);
        if (n.param != none) all += self(self, n.param);
        return routes[at] = all;
    };
    count(count, 0);

    // Breadth first, so that children come to lie side by side: `from[i]` is what becomes `nodes_[i]`.
    std::vector<route_tree::node_index> from{0};
    for (std::size_t i = 0; i < from.size(); ++i) {
        const route_tree::node& n = tree.nodes_[from[i]];
        node& made = nodes_.emplace_back();
        made.text = static_cast<std::uint32_t>(text_.size());
        made.text_size = static_cast<std::uint32_t>(n.text.size());
        made.route = n.route;
        made.wildcard = n.wildcard;
        text_ += n.text;

        auto children = n.literals;
        std::ranges::sort(children, {}, [&](auto child) { return std::pair{~routes[child], child}; });
        made.literals = static_cast<std::uint16_t>(children.size());
        made.first_literal = static_cast<node_index>(from.size());
        made.firsts = static_cast<std::uint32_t>(text_.size());
        for (const auto child : children) {
            from.push_back(child);
            text_ += tree.nodes_[child].text.front();
        }
        if (n.param != none) {
            made.param = static_cast<node_index>(from.size());
            from.push_back(n.param);
        }
    }
}

// Goes on in a loop while there is only one way, and calls itself where a choice may have to be taken back:
// the depth is bounded by the length of the longest pattern.
route_index::route_number route_index::descend(node_index at, const char* rest, const char* end,
                                               path_params& params) const noexcept {
    const char* const text = text_.data();
    for (;;) {
        const node& n = nodes_[at];
        if (rest == end) return n.route;

        const char first = *rest;
        const char* const firsts = text + n.firsts;
        std::uint32_t i = 0;
        while (i < n.literals && firsts[i] != first) ++i;
        if (i < n.literals) {
            const node_index child = n.first_literal + i;
            const node& c = nodes_[child];
            if (static_cast<std::size_t>(end - rest) >= c.text_size &&
                same(rest, text + c.text, c.text_size)) {
                const char* const behind = rest + c.text_size;
                if (n.param == none && (n.wildcard == none || first != '/')) {
                    at = child;
                    rest = behind;
                    continue;
                }
                const std::size_t before = params.size();
                if (const route_number r = descend(child, behind, end, params); r != none) return r;
                params.shrink_to(before);
            }
        }
        if (n.param != none && first != '/') {
            const char* behind = rest + 1;
            while (behind != end && *behind != '/') ++behind;
            params.push({rest, behind});
            at = n.param;
            rest = behind;
            // A wildcard begins with a slash, a parameter never does: no third way is left to take.
            continue;
        }
        if (n.wildcard != none && first == '/') {
            params.push({rest, end});
            return n.wildcard;
        }
        return none;
    }
}

} // namespace genever::web::detail
