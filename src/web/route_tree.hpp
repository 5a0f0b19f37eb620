// The patterns of one method as they are registered: a radix tree.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace genever::web::detail {

/// Grows with each registration; `route_index` is made of it to look paths up. Not for several threads.
class route_tree {
public:
    using route_number = std::uint32_t;

    route_tree();

    /// Adds a pattern and returns its parameters' names in order. Throws std::invalid_argument, and changes
    /// nothing that an index of it would show, when the pattern is not well formed (`parse_pattern`), or when it
    /// conflicts: it is the same as another but for names; it calls a parameter differently from another
    /// pattern at the same place; or one of the two has a wildcard where the other goes on below the same
    /// slash.
    std::vector<std::string> insert(std::string_view pattern, route_number route);

private:
    friend class route_index;
    using node_index = std::uint32_t;
    static constexpr std::uint32_t none = ~std::uint32_t{0};

    struct node {
        std::string text;                 // what leads here from the parent; empty for a parameter's node
        std::string first;                // the first characters of `literals`, in the same order
        std::vector<node_index> literals; // children by literal text
        node_index param = none;          // the child behind a parameter
        route_number route = none;        // the route that ends here
        route_number wildcard = none;     // the route that ends in a wildcard here
    };

    node_index add_literal(node_index at, std::string_view text, std::string_view pattern);
    node_index add_param(node_index at, const std::string& name, std::string_view pattern);
    void add_wildcard(node_index at, const std::string& name, std::string_view pattern, route_number route);
    node_index literal_child(const node& n, char first) const noexcept;
    const std::string& pattern_of(route_number route) const;
    const std::string& any_pattern_below(node_index at) const;

    struct named {
        node_index at;
        std::string name;
    };
    std::vector<node> nodes_; // [0] is the root
    // Only for messages: who came first, and under which name.
    std::vector<std::pair<route_number, std::string>> patterns_;
    std::vector<named> param_names_;
    std::vector<named> wildcard_names_;
};

} // namespace genever::web::detail
