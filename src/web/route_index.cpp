#include "web/route_index.hpp"

#include "web/pattern.hpp"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

namespace genever::web::detail {

static_assert(path_params::capacity == max_params);

namespace {

/// What lies between the first and the last eight bytes of a long segment, as one word. Many routes may differ there only.
[[gnu::cold, gnu::noinline]] std::uint64_t middle_of(std::string_view text) noexcept {
    std::uint64_t all = text.size();
    for (std::size_t at = 8; at + 8 < text.size(); at += 8) {
        std::uint64_t word = 0;
        const std::string_view piece = text.substr(at, 8); // the last one overlaps the end's eight bytes
        std::memcpy(&word, piece.data(), piece.size());
        all = (std::rotl(all, 29) ^ word) * 0x9e37'79b9'7f4a'7c15;
    }
    return all;
}

/// Its upper bits are the ones to use: they depend on all that went in.
std::uint64_t hash(const path_segment& s, std::uint64_t mixer) noexcept {
    std::uint64_t words = s.last + 2 * s.first;
    if (s.text.size() > 16) [[unlikely]]
        words += middle_of(s.text);
    return words * mixer;
}

/// How many bits of a hash choose a place in the table of so many children. Half of the places or more stay empty, so that what is
/// no literal segment is mostly found out at the first look.
int place_bits(std::size_t children) noexcept { return std::bit_width(children * 2 - 1); }

} // namespace

/// The factor, of some, with which the fewest segments share a place with another.
std::uint64_t route_index::mixer_for(const route_tree& tree) {
    constexpr int tries = 64;
    std::uint64_t candidate = 0x9e37'79b9'7f4a'7c15;
    std::uint64_t best = candidate;
    std::size_t fewest = ~std::size_t{0};
    std::vector<bool> taken;
    for (int i = 0; i < tries && fewest != 0; ++i) {
        std::size_t shared = 0;
        for (const route_tree::node& n : tree.nodes_) {
            if (n.literals.empty()) continue;
            const int bits = place_bits(n.literals.size());
            taken.assign(std::size_t{1} << bits, false);
            for (const auto& [segment, child] : n.literals) {
                auto place = taken[hash(segment_of(segment), candidate) >> (64 - bits)];
                shared += place;
                place = true;
            }
        }
        if (shared < fewest) {
            fewest = shared;
            best = candidate;
        }
        candidate = (candidate * 0x5851'f42d'4c95'7f2d + 0x1405'7b7e'f767'814f) | 1;
    }
    return best;
}

route_index::route_index(const route_tree& tree) : nodes_(1), mixer_(mixer_for(tree)) {
    placing placed{{0, 0}};
    for (std::size_t i = 0; i < placed.size(); ++i) {
        const auto [from, to] = placed[i];
        const route_tree::node& n = tree.nodes_[from];
        nodes_[to].route = n.route;
        nodes_[to].wildcard = n.wildcard;
        if (!n.literals.empty()) place_literals(n.literals, to, placed);
        place_params(n.params, to, placed);
    }
}

void route_index::place_literals(const route_tree::literal_map& literals, node_index parent,
                                 placing& placed) {
    const auto first = static_cast<node_index>(nodes_.size());
    const int bits = place_bits(literals.size());
    nodes_.resize(first + (std::size_t{1} << bits));
    nodes_[parent].literals = first;
    nodes_[parent].literals_shift = static_cast<std::uint32_t>(64 - bits);
    for (const auto& [text, from] : literals) {
        const path_segment s = segment_of(text);
        node_index to = first + static_cast<node_index>(hash(s, mixer_) >> (64 - bits));
        if (nodes_[to].size != none) {
            const node_index behind = add_node();
            nodes_[behind].other = std::exchange(nodes_[to].other, behind);
            to = behind;
        }
        node& n = nodes_[to];
        n.first = s.first;
        n.last = s.last;
        n.size = static_cast<std::uint32_t>(text.size());
        n.text = static_cast<std::uint32_t>(text_.size());
        n.literal = true;
        n.parent = parent;
        text_ += text;
        placed.emplace_back(from, to);
    }
}

void route_index::place_params(const std::vector<route_tree::param_child>& children, node_index parent,
                               placing& placed) {
    node_index before = none;
    for (const route_tree::param_child& child : children) {
        const node_index to = add_node();
        nodes_[to].size = static_cast<std::uint32_t>(child.prefix.size());
        nodes_[to].text = static_cast<std::uint32_t>(text_.size());
        nodes_[to].parent = parent;
        text_ += child.prefix;
        (before == none ? nodes_[parent].params : nodes_[before].other) = to;
        before = to;
        placed.emplace_back(child.node, to);
    }
}

route_index::node_index route_index::add_node() {
    nodes_.emplace_back();
    return static_cast<node_index>(nodes_.size() - 1);
}

inline const route_index::node* route_index::literal_child(const node& n,
                                                           const path_segment& s) const noexcept {
    const auto size = s.text.size();
    node_index at = n.literals + static_cast<node_index>(hash(s, mixer_) >> n.literals_shift);
    do {
        const node& child = nodes_[at];
        if (((child.first ^ s.first) | (child.last ^ s.last) | (child.size ^ size)) == 0 &&
            (size <= 16 || std::memcmp(text_.data() + child.text + 8, s.text.data() + 8, size - 16) == 0))
            return &child;
        at = child.other;
    } while (at != none);
    return nullptr;
}

/// From the parameter `first` on, the first that `segment` fits.
route_index::taken_param route_index::param_child(node_index first, std::string_view segment) const noexcept {
    for (; first != none; first = nodes_[first].other) {
        const node& child = nodes_[first];
        if (segment.size() <= child.size) continue;
        if (child.size == 0 || std::memcmp(text_.data() + child.text, segment.data(), child.size) == 0)
            return {&child, segment.substr(child.size)};
    }
    return {nullptr, {}};
}

route_index::route_number route_index::look_up(std::string_view path, path_params& params) const noexcept {
    if (!path.starts_with('/')) return none;
    const node* n = nodes_.data();
    path_scan at{path};
    std::size_t taken = 0;
    for (;;) {
        if (at.last()) {
            if (n->route != none) [[likely]] {
                params.resize(taken);
                return n->route;
            }
        } else {
            at.advance();
            if (n->literals != none) {
                if (const node* const child = literal_child(*n, at.segment())) {
                    n = child;
                    continue;
                }
            }
            if (n->params != none) {
                // Nearly always the only one, and the whole segment.
                const node& first = nodes_[n->params];
                const std::string_view text = at.text();
                const taken_param p = first.size == 0 && !text.empty() ? taken_param{&first, text}
                                                                       : param_child(n->params, text);
                if (p.child != nullptr) {
                    n = p.child;
                    params.put(taken++, p.value);
                    continue;
                }
            }
            if (n->wildcard != none) {
                params.put(taken, at.rest());
                params.resize(taken + 1);
                return n->wildcard;
            }
            if (n->parent == none) return none;
            at.go_back();
        }
        const position p = take_back({n, at, taken}, params);
        if (p.n == nullptr) return none;
        n = p.n;
        at = p.at;
        taken = p.taken;
    }
}

/// Nothing behind `p` leads on: gives the nearest place before it where another way is left, having taken that. No node
/// where there is none.
route_index::position route_index::take_back(position p, path_params& params) const noexcept {
    while (p.n->parent != none) {
        const node& parent = nodes_[p.n->parent];
        if (!p.n->literal) --p.taken;
        const node_index others = p.n->literal ? parent.params : p.n->other;
        if (const taken_param t = param_child(others, p.at.text()); t.child != nullptr) {
            params.put(p.taken, t.value);
            return {t.child, p.at, p.taken + 1};
        }
        p.n = &parent;
        if (parent.parent != none) p.at.go_back();
    }
    return {nullptr, p.at, 0};
}

} // namespace genever::web::detail
