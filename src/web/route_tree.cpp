#include "web/route_tree.hpp"

#include "web/pattern.hpp"

#include <algorithm>
#include <stdexcept>

namespace genever::web::detail {
namespace {

[[noreturn]] void conflict(std::string_view pattern, std::string_view other, std::string_view why) {
    throw std::invalid_argument("route pattern '" + std::string{pattern} + "' conflicts with '" +
                                std::string{other} + "': " + std::string{why});
}

} // namespace

route_tree::route_tree() : nodes_(1) {}

std::vector<std::string> route_tree::insert(std::string_view pattern, route_number route) {
    std::vector<std::string> names;
    node_index at = 0;
    bool ended = false;
    for (const pattern_piece& piece : parse_pattern(pattern)) {
        switch (piece.kind) {
        case pattern_piece::type::literal: at = add_literal(at, piece.text, pattern); break;
        case pattern_piece::type::param:
            at = add_param(at, piece.text, pattern);
            names.push_back(piece.text);
            break;
        case pattern_piece::type::wildcard:
            add_wildcard(at, piece.text, pattern, route);
            names.push_back(piece.text);
            ended = true;
            break;
        }
    }
    if (!ended) {
        if (nodes_[at].route != none)
            conflict(pattern, pattern_of(nodes_[at].route), "it is registered already");
        nodes_[at].route = route;
    }
    patterns_.emplace_back(route, std::string{pattern});
    return names;
}

// The three `add_` functions throw only where the new pattern still follows an old one, so that all they
// may leave behind is a literal in two pieces, which no lookup can see.

route_tree::node_index route_tree::add_literal(node_index at, std::string_view text,
                                               std::string_view pattern) {
    while (!text.empty()) {
        if (text.front() == '/' && nodes_[at].wildcard != none)
            conflict(pattern, pattern_of(nodes_[at].wildcard),
                     "that one's wildcard takes everything below the same slash");
        const node_index next = literal_child(nodes_[at], text.front());
        if (next == none) {
            const auto made = static_cast<node_index>(nodes_.size());
            nodes_.emplace_back().text = text;
            nodes_[at].first += text.front();
            nodes_[at].literals.push_back(made);
            return made;
        }
        const std::string& there = nodes_[next].text;
        const auto common = static_cast<std::size_t>(std::ranges::mismatch(text, there).in1 - text.begin());
        if (common < there.size()) {
            // The child keeps its number and its first part; what it was moves into a new node behind it.
            const auto tail = static_cast<node_index>(nodes_.size());
            nodes_.emplace_back();
            node& head = nodes_[next];
            std::swap(head, nodes_[tail]);
            head.text = nodes_[tail].text.substr(0, common);
            nodes_[tail].text.erase(0, common);
            head.first = nodes_[tail].text.front();
            head.literals.push_back(tail);
            for (auto* names : {&param_names_, &wildcard_names_})
                for (named& n : *names)
                    if (n.at == next) n.at = tail;
        }
        text.remove_prefix(common);
        at = next;
    }
    return at;
}

route_tree::node_index route_tree::add_param(node_index at, const std::string& name,
                                             std::string_view pattern) {
    if (nodes_[at].param == none) {
        const auto made = static_cast<node_index>(nodes_.size());
        nodes_.emplace_back();
        nodes_[at].param = made;
        param_names_.push_back({at, name});
        return made;
    }
    const auto first = std::ranges::find(param_names_, at, &named::at);
    if (first->name != name)
        conflict(pattern, any_pattern_below(nodes_[at].param),
                 "the parameter ':" + name + "' is called ':" + first->name + "' there");
    return nodes_[at].param;
}

void route_tree::add_wildcard(node_index at, const std::string& name, std::string_view pattern,
                              route_number route) {
    if (nodes_[at].wildcard != none) {
        const auto first = std::ranges::find(wildcard_names_, at, &named::at);
        conflict(pattern, pattern_of(nodes_[at].wildcard),
                 first->name == name ? std::string{"it is registered already"}
                                     : "the wildcard '*" + name + "' is called '*" + first->name + "' there");
    }
    if (const node_index below = literal_child(nodes_[at], '/'); below != none)
        conflict(pattern, any_pattern_below(below), "its wildcard takes everything below the same slash");
    nodes_[at].wildcard = route;
    wildcard_names_.push_back({at, name});
}

route_tree::node_index route_tree::literal_child(const node& n, char first) const noexcept {
    const std::size_t i = n.first.find(first);
    return i == n.first.npos ? none : n.literals[i];
}

const std::string& route_tree::pattern_of(route_number route) const {
    return std::ranges::find(patterns_, route, &std::pair<route_number, std::string>::first)->second;
}

/// Some pattern at or below a node; every branch leads to one.
const std::string& route_tree::any_pattern_below(node_index at) const {
    for (;;) {
        const node& n = nodes_[at];
        if (n.route != none) return pattern_of(n.route);
        if (n.wildcard != none) return pattern_of(n.wildcard);
        at = n.literals.empty() ? n.param : n.literals.front();
    }
}

} // namespace genever::web::detail
