#include "web/route_table.hpp"

#include "web/path_scan.hpp"
#include "web/percent.hpp"

#include <genever/http/response.hpp>

#include <algorithm>
#include <stdexcept>
#include <utility>

namespace genever::web {

task<> next::operator()(context& c) const {
    if (c.entered_ != position_) throw std::logic_error("a middleware has called `next` a second time");
    ++c.entered_;
    return c.route_->chain[position_]->call(c, next{position_ + 1});
}

namespace detail {
namespace {

constexpr std::size_t index(http::method m) noexcept { return static_cast<std::size_t>(m); }

bool safe_to_repeat_as_get(http::method m) noexcept {
    return m == http::method::get || m == http::method::head;
}

/// The answer to a path that exists with a slash more or less.
void redirect_to_other_slash(context& c) {
    const std::string_view path = c.path();
    std::string location;
    append_location(location, path.ends_with('/') ? path.substr(0, path.size() - 1) : path);
    if (!path.ends_with('/')) location += '/';
    if (const std::string_view query = c.exchange().request.query; !query.empty()) {
        location += '?';
        append_location(location, query);
    }
    c.redirect(safe_to_repeat_as_get(c.method()) ? 301 : 308, location);
}

route fallback(const std::vector<step_ptr>& global, step_ptr last) {
    route r;
    r.chain = global;
    r.chain.push_back(std::move(last));
    return r;
}

step_ptr or_error(const step_ptr& own, int status) {
    if (own) return own;
    return make_handler([status](context& c) { c.abort_with(status, http::reason_phrase(status)); });
}

} // namespace

route_table::route_table(const router_state& state, const std::vector<step_ptr>& global)
    : routes_(state.routes), redirect_(state.redirect_trailing_slash),
      not_found_(fallback(global, or_error(state.no_route, 404))),
      not_allowed_(fallback(global, or_error(state.no_method, 405))),
      options_(fallback(global, make_handler([](context& c) { c.no_content(); }))),
      redirection_(fallback(global, make_handler(&redirect_to_other_slash))),
      bad_path_(fallback(global, make_handler([](context& c) {
                             c.abort_with(400, "the path holds an invalid percent escape");
                         }))) {
    for (std::size_t m = 0; m < http::method_count; ++m) indexes_[m] = route_index{state.trees[m]};
    for (route& r : routes_) r.admission = std::make_shared<http::traffic_class>(r.traffic);
}

// A chain that has nothing to wait for is over here, without a coroutine frame. Every request comes by, so it is part of its
// callers; and the first step is called as `next` would, but that nobody can have called it before.
[[gnu::always_inline]] inline task<> route_table::run(owned_context c) {
    begun_chain chain{std::move(c), {}};
    context& begun = *chain.c;
    begun.entered_ = 1;
    chain.rest = begun.route_->chain.front()->call(begun, next{1});
    if (chain.rest.empty()) return {};
    return finish(std::move(chain));
}

// The usual case: a plain path that the method's own tree has. Nothing is made for a request before it is admitted.
task<> route_table::handle(http::exchange& x) const {
    const http::request& request = x.request;
    if (!has_escapes(request.path)) [[likely]] {
        path_params params;
        if (const auto number = indexes_[index(request.method)].find(request.path, params)) [[likely]] {
            const route& r = routes_[*number];
            if (!x.admit(*r.admission)) return {};
            owned_context c = make_context(x);
            c->route_ = &r;
            c->params_ = params;
            return run(std::move(c));
        }
    }
    return handle_rare(x);
}

route_table::owned_context route_table::make_context(http::exchange& x) {
    return owned_context{new context{x}};
}

task<> route_table::finish(begun_chain chain) { co_await std::move(chain.rest); }

task<> route_table::handle_rare(http::exchange& x) const {
    http::traffic_class* own = class_of(x.request);
    const bool admitted = own ? x.admit(*own) : x.admit();
    if (!admitted) return {};
    owned_context c = make_context(x);
    c->route_ = choose(*c);
    return run(std::move(c));
}

/// That of the route which will answer; null where none does.
http::traffic_class* route_table::class_of(const http::request& request) const {
    arena memory;
    std::string_view path = request.path;
    if (path.contains('%')) {
        char* plain = memory.allocate_chars(path.size());
        const auto size = decode(path, plain, decoding::path);
        if (!size) return nullptr;
        path = {plain, *size};
    }
    path_params ignored;
    const route* r = find(request.method, path, ignored);
    return r ? r->admission.get() : nullptr;
}

/// Chooses the route, and fills in the context's parameters and what the response needs beforehand.
const route* route_table::choose(context& c) const {
    const http::method m = c.method();
    std::string_view path = c.path();
    const bool escaped = path.contains('%');
    if (escaped) {
        char* plain = c.arena_.allocate_chars(path.size());
        const auto size = decode(path, plain, decoding::path);
        if (!size) return &bad_path_;
        path = {plain, *size};
    }

    if (const route* r = find(m, path, c.params_)) {
        for (std::size_t i = 0; escaped && i < c.params_.size(); ++i) {
            const std::string_view value = c.params_[i];
            if (!value.contains('%')) continue;
            char* plain = c.arena_.allocate_chars(value.size());
            // Well formed: what `path` decoding leaves are escapes that it has checked.
            c.params_.put(i, {plain, decode(value, plain, decoding::component).value_or(0)});
        }
        return r;
    }
    if (redirect_ && m != http::method::connect && matches_but_for_slash(m, path, c)) return &redirection_;
    if (const std::string allowed = allowed_methods(path); !allowed.empty()) {
        c.set_header("Allow", allowed);
        if (m == http::method::options) return &options_;
        c.status(405);
        return &not_allowed_;
    }
    c.status(404);
    return &not_found_;
}

const route* route_table::find(http::method m, std::string_view path, path_params& params) const noexcept {
    auto number = indexes_[index(m)].find(path, params);
    if (!number && m == http::method::head) number = indexes_[index(http::method::get)].find(path, params);
    return number ? &routes_[*number] : nullptr;
}

bool route_table::matches_but_for_slash(http::method m, std::string_view path, context& c) const {
    if (path.empty() || path == "/" || path == "*") return false;
    path_params ignored;
    if (path.ends_with('/')) return find(m, path.substr(0, path.size() - 1), ignored) != nullptr;
    char* longer = c.arena_.allocate_chars(path.size() + 1);
    std::ranges::copy(path, longer);
    longer[path.size()] = '/';
    return find(m, {longer, path.size() + 1}, ignored) != nullptr;
}

/// The value of `Allow` for a path, in alphabetical order; empty when no method has it. For `*`, which asks
/// about the server as a whole (RFC 9110 section 9.3.7), the methods that any route has.
std::string route_table::allowed_methods(std::string_view path) const {
    using enum http::method;
    static constexpr std::array alphabetical{connect, delete_, get, head, options, patch, post, put, trace};
    static_assert(alphabetical.size() == http::method_count);

    const auto has = [&](http::method m) {
        path_params ignored;
        return path == "*" ? !indexes_[index(m)].empty() : indexes_[index(m)].find(path, ignored).has_value();
    };
    if (std::ranges::none_of(alphabetical, has)) return {};
    std::string list;
    for (const http::method m : alphabetical) {
        if (m != options && !has(m) && !(m == head && has(get))) continue;
        if (!list.empty()) list += ", ";
        list += http::to_string(m);
    }
    return list;
}

} // namespace detail
} // namespace genever::web
