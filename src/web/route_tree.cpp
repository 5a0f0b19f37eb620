#include "web/route_tree.hpp"

#include "web/pattern.hpp"

#include <algorithm>
#include <functional>
#include <stdexcept>

namespace genever::web::detail {
namespace {

[[noreturn]] void conflict(std::string_view pattern, std::string_view other, std::string_view why) {
    throw std::invalid_argument("route pattern '" + std::string{pattern} + "' conflicts with '" +
                                std::string{other} + "': " + std::string{why});
}

} // namespace

route_tree::route_tree() : nodes_(1) {}

// Throws only where the new pattern still follows an old one, and so before it has changed anything.
std::vector<std::string> route_tree::insert(std::string_view pattern, route_number route) {
    std::vector<std::string> names;
    node_index at = 0;
    bool ended = false;
    bool in_segment = false; // behind a slash, with `segment` what has come since
    std::string segment;
    for (const pattern_piece& piece : parse_pattern(pattern)) {
        switch (piece.kind) {
        case pattern_piece::type::literal:
            for (const char c : piece.text) {
                if (c != '/') {
                    segment += c;
                    continue;
                }
                if (in_segment) at = add_literal(at, segment, pattern);
                segment.clear();
                in_segment = true;
            }
            break;
        case pattern_piece::type::param:
            at = add_param(at, segment, piece.text, pattern);
            in_segment = false; // it reaches to the segment's end
            segment.clear();
            names.push_back(piece.text);
            break;
        case pattern_piece::type::wildcard:
            if (in_segment) at = add_literal(at, segment, pattern);
            add_wildcard(at, piece.text, pattern, route);
            names.push_back(piece.text);
            in_segment = false;
            ended = true;
            break;
        }
    }
    if (in_segment) at = add_literal(at, segment, pattern);
    if (!ended) {
        if (nodes_[at].route != none)
            conflict(pattern, patterns_.at(nodes_[at].route), "it is registered already");
        nodes_[at].route = route;
    }
    patterns_.emplace(route, pattern);
    return names;
}

route_tree::node_index route_tree::add_literal(node_index at, std::string_view segment,
                                               std::string_view pattern) {
    refuse_below_wildcard(at, pattern);
    if (const auto known = nodes_[at].literals.find(segment); known != nodes_[at].literals.end())
        return known->second;
    const node_index made = add_node();
    nodes_[at].literals.emplace(segment, made);
    return made;
}

route_tree::node_index route_tree::add_param(node_index at, std::string_view prefix, const std::string& name,
                                             std::string_view pattern) {
    refuse_below_wildcard(at, pattern);
    const auto known = std::ranges::find(nodes_[at].params, prefix, &param_child::prefix);
    if (known != nodes_[at].params.end()) {
        if (known->name != name)
            conflict(pattern, any_pattern_below(known->node),
                     "the parameter ':" + name + "' is called ':" + known->name + "' there");
        return known->node;
    }
    const node_index made = add_node();
    auto& params = nodes_[at].params;
    const auto size = [](const param_child& p) { return p.prefix.size(); };
    const auto place = std::ranges::upper_bound(params, prefix.size(), std::greater{}, size);
    params.insert(place, {std::string{prefix}, name, made});
    return made;
}

void route_tree::add_wildcard(node_index at, const std::string& name, std::string_view pattern,
                              route_number route) {
    node& n = nodes_[at];
    if (n.wildcard != none) {
        const std::string& first = wildcard_names_.at(at);
        conflict(pattern, patterns_.at(n.wildcard),
                 first == name ? std::string{"it is registered already"}
                               : "the wildcard '*" + name + "' is called '*" + first + "' there");
    }
    if (!n.literals.empty() || !n.params.empty())
        conflict(pattern,
                 any_pattern_below(n.literals.empty() ? n.params.front().node : n.literals.begin()->second),
                 "its wildcard takes everything below the same slash");
    n.wildcard = route;
    wildcard_names_.emplace(at, name);
}

void route_tree::refuse_below_wildcard(node_index at, std::string_view pattern) const {
    if (nodes_[at].wildcard != none)
        conflict(pattern, patterns_.at(nodes_[at].wildcard),
                 "that one's wildcard takes everything below the same slash");
}

route_tree::node_index route_tree::add_node() {
    nodes_.emplace_back();
    return static_cast<node_index>(nodes_.size() - 1);
}

/// Some pattern at or below a node; every branch leads to one.
const std::string& route_tree::any_pattern_below(node_index at) const {
    for (;;) {
        const node& n = nodes_[at];
        if (n.route != none) return patterns_.at(n.route);
        if (n.wildcard != none) return patterns_.at(n.wildcard);
        at = n.literals.empty() ? n.params.front().node : n.literals.begin()->second;
    }
}

} // namespace genever::web::detail
