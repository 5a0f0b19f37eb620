// A router's snapshot: what requests are answered from.
#pragma once

#include "web/route_index.hpp"
#include "web/route_tree.hpp"

#include <genever/http/exchange.hpp>
#include <genever/http/method.hpp>
#include <genever/web/router.hpp>

#include <array>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace genever::web::detail {

/// What a router has collected so far.
struct router_state {
    std::vector<route> routes;
    std::vector<route_info> infos; // one for each route
    std::array<route_tree, http::method_count> trees;
    step_ptr no_route;
    step_ptr no_method;
    bool redirect_trailing_slash = true;
};

/// Routes and index, immutable, shared by all threads. It outlives every request that it handles: the
/// `http::handler` holds it.
class route_table {
public:
    /// `global`: the middleware in front of the answers that belong to no route.
    route_table(const router_state& state, const std::vector<step_ptr>& global);
    route_table(const route_table&) = delete;

    task<> handle(http::exchange& x) const;

private:
    using owned_context = std::unique_ptr<context>;
    /// What is left of a chain that has to wait refers to its context, so it goes first.
    struct begun_chain {
        owned_context c;
        task<> rest;
    };

    static owned_context make_context(http::exchange& x);
    static task<> run(owned_context c);
    static task<> finish(begun_chain chain);
    task<> handle_rare(http::exchange& x) const;
    http::traffic_class* class_of(const http::request& request) const;
    const route* choose(context& c) const;
    const route* find(http::method m, std::string_view path, path_params& params) const noexcept;
    bool matches_but_for_slash(http::method m, std::string_view path, context& c) const;
    std::string allowed_methods(std::string_view path) const;

    std::vector<route> routes_;
    std::array<route_index, http::method_count> indexes_;
    bool redirect_;
    route not_found_;
    route not_allowed_;
    route options_;
    route redirection_;
    route bad_path_;
};

} // namespace genever::web::detail
