// The router's index as requests use it: a route_tree laid out for looking up.
#pragma once

#include "web/route_tree.hpp"

#include <genever/web/detail/path_params.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace genever::web::detail {

/// Immutable, and safe to read on many threads at once. Where several patterns match a path, the one wins that is literal at
/// the first place where they differ; a parameter comes next and a wildcard last, and a choice that leads nowhere is taken
/// back. The order of registration does not matter.
///
/// A parameter is one non-empty run up to the next `/`; a wildcard is the whole rest, its leading `/` included.
///
/// A step takes two cache lines or three, whatever the number of routes: a node is half a line, its literal children lie
/// side by side, the ones with more routes first, and so do their first characters. Each node is the end of exactly one way
/// from the root, so a lookup visits a node at most once, whatever it has to take back.
class route_index {
public:
    using route_number = route_tree::route_number;

    route_index() : route_index(route_tree{}) {}
    explicit route_index(const route_tree& tree);

    /// The route for `path`, with its parameters as views into `path`. Allocates nothing.
    std::optional<route_number> find(std::string_view path, path_params& params) const noexcept {
        params.shrink_to(0);
        const route_number r = descend(0, path.data(), path.data() + path.size(), params);
        if (r == none) return std::nullopt;
        return r;
    }

    bool empty() const noexcept { return nodes_.size() == 1 && nodes_[0].wildcard == none; }

private:
    using node_index = std::uint32_t;
    static constexpr std::uint32_t none = ~std::uint32_t{0};

    struct node {
        std::uint32_t text = 0; // where in `text_` that lies which leads here; nothing for a parameter's node
        std::uint32_t text_size = 0;
        node_index first_literal = none; // the children by literal text, side by side
        std::uint32_t firsts = 0;        // where in `text_` their first characters lie
        node_index param = none;         // the child behind a parameter
        route_number route = none;       // the route that ends here
        route_number wildcard = none;    // the route that ends in a wildcard here
        std::uint16_t literals = 0;      // how many
    };
    static_assert(sizeof(node) == 32);

    route_number descend(node_index at, const char* rest, const char* end,
                         path_params& params) const noexcept;

    std::vector<node> nodes_; // [0] is the root
    std::string text_;
};

} // namespace genever::web::detail
