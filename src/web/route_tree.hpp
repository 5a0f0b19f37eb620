// The patterns of one method as they are registered: a tree of their segments.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace genever::web::detail {

/// Grows with each registration; `route_index` is made of it to look paths up. Not for several threads.
class route_tree {
public:
    using route_number = std::uint32_t;

    route_tree();

    /// Adds a pattern and returns its parameters' names in order. Throws std::invalid_argument, and changes
    /// nothing, when the pattern is not well formed (`parse_pattern`), or when it conflicts: it is the same as another but
    /// for names; it calls a parameter differently from another pattern at the same place; or one of the two has a
    /// wildcard where the other goes on below the same slash.
    std::vector<std::string> insert(std::string_view pattern, route_number route);

private:
    friend class route_index;
    using node_index = std::uint32_t;
    static constexpr std::uint32_t none = ~std::uint32_t{0};

    /// By the whole segment, which is empty for a slash at the end of a pattern.
    using literal_map = std::map<std::string, node_index, std::less<>>;
    /// A segment that is a parameter, or ends in one.
    struct param_child {
        std::string prefix; // the literal text in front of it
        std::string name;
        node_index node;
    };
    /// A place behind a whole segment; the root is the one before the first.
    struct node {
        literal_map literals;
        std::vector<param_child> params; // the longer prefix first
        route_number route = none;       // the route that ends here
        route_number wildcard = none;    // the route that ends in a wildcard here
    };

    node_index add_literal(node_index at, std::string_view segment, std::string_view pattern);
    node_index add_param(node_index at, std::string_view prefix, const std::string& name,
                         std::string_view pattern);
    void add_wildcard(node_index at, const std::string& name, std::string_view pattern, route_number route);
    void refuse_below_wildcard(node_index at, std::string_view pattern) const;
    node_index add_node();
    const std::string& any_pattern_below(node_index at) const;

    std::vector<node> nodes_; // [0] is the root
    // Only for messages: who came first, and under which name.
    std::map<route_number, std::string> patterns_;
    std::map<node_index, std::string> wildcard_names_;
};

} // namespace genever::web::detail
