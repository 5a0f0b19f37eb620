// The router's index as requests use it: a route_tree laid out for looking up.
#pragma once

#include "web/path_scan.hpp"
#include "web/route_tree.hpp"

#include <genever/web/detail/path_params.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace genever::web::detail {

/// Immutable, and safe to read on many threads at once. Where several patterns match a path, the one wins that is literal at
/// the first place where they differ; a parameter comes next and a wildcard last, and a choice that leads nowhere is taken
/// back. The order of registration does not matter.
///
/// A parameter is one non-empty run up to the next `/`; a wildcard is the whole rest, its leading `/` included.
///
/// A segment of the path is a step, and a literal one of up to 16 bytes takes one cache line as a rule, whatever the number of routes:
/// the literal children of a node are a hash table of nodes, so that where the segment's hash points, there is the child itself, with
/// the words to compare the segment with. A parameter's child is looked at only where no literal one is there or leads on;
/// those with text in front (`/v:major`) are tried one after the other, so a place with hundreds of them is slow. Each node
/// is the end of exactly one way from the root, so a lookup visits a node at most once, whatever it has to take back, and
/// finds the way back in the tree instead of remembering it.
class route_index {
public:
    using route_number = route_tree::route_number;

    route_index() : route_index(route_tree{}) {}
    explicit route_index(const route_tree& tree);

    /// The route for `path`, with its parameters as views into `path`. Allocates nothing.
    std::optional<route_number> find(std::string_view path, path_params& params) const noexcept {
        const route_number r = look_up(path, params);
        if (r == none) return std::nullopt;
        return r;
    }

    bool empty() const noexcept { return nodes_.size() == 1 && nodes_[0].wildcard == none; }

private:
    using node_index = std::uint32_t;
    static constexpr std::uint32_t none = ~std::uint32_t{0};

    struct alignas(64) node {
        // The segment that leads here: the literal text, or that in front of the parameter.
        std::uint64_t first = 0; // as in path_segment
        std::uint64_t last = 0;
        std::uint32_t size = none; // of an empty place in a table, too: it is like no segment
        std::uint32_t text = 0;    // where in `text_` it lies
        bool literal = false;
        // The parent, and which of its children to look at when this one is not it: of literal ones, another that belongs
        // to the same place of the table; of parameters, the next, with less text in front.
        node_index parent = none;
        node_index other = none;
        // What is behind it.
        node_index literals = none;        // the first place of the table of the literal ones
        std::uint32_t literals_shift = 63; // a hash shifted down by so much is a place in it
        node_index params = none;          // the first
        route_number route = none;         // the route that ends here
        route_number wildcard = none; // the route that ends in a wildcard here, with nothing else behind it
    };
    static_assert(sizeof(node) == 64);

    struct taken_param {
        const node* child;
        std::string_view value;
    };
    /// How far a lookup has come: `n` is behind the segment that `at` stands at, and behind `taken` parameters.
    struct position {
        const node* n;
        path_scan at;
        std::size_t taken;
    };

    using placing = std::vector<std::pair<route_tree::node_index, node_index>>; // there, here
    static std::uint64_t mixer_for(const route_tree& tree);
    void place_literals(const route_tree::literal_map& literals, node_index parent, placing& placed);
    void place_params(const std::vector<route_tree::param_child>& children, node_index parent,
                      placing& placed);
    node_index add_node();

    route_number look_up(std::string_view path, path_params& params) const noexcept;
    const node* literal_child(const node& n, const path_segment& s) const noexcept;
    // Not inline, as its call of memcmp would cost every lookup the registers that it needs.
    [[gnu::noinline]] taken_param param_child(node_index first, std::string_view segment) const noexcept;
    position take_back(position p, path_params& params) const noexcept;

    std::vector<node> nodes_; // [0] is the root
    std::string text_;
    std::uint64_t mixer_; // makes a segment's words its hash
};

} // namespace genever::web::detail
