// Routes: which handler answers which method and path.
#pragma once

#include <genever/base/clock.hpp>
#include <genever/http/admission.hpp>
#include <genever/http/exchange.hpp>
#include <genever/http/method.hpp>
#include <genever/web/context.hpp>
#include <genever/web/detail/step.hpp>

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace genever::web {

namespace detail {
struct router_state;
}

/// A registered route, for listings.
struct route_info {
    http::method method = http::method::get;
    std::string pattern;
    /// Empty unless `route_ref::name` gave one.
    std::string name;
};

/// What a registration gives back: `app.get("/ping", ping).name("ping")`. Valid as long as its router.
class route_ref {
public:
    route_ref& name(std::string_view n);
    /// Who gives way under overload: `app.get("/health", health).priority(http::priority::critical)`. Unless set, that of
    /// the group at the time of the registration, else normal.
    route_ref& priority(http::priority p);
    /// How long the handler may take, with its middleware: see http::traffic::handler_timeout. Unless set, the server's.
    /// `infinity`: as long as it likes.
    route_ref& timeout(duration limit);
    /// How many requests of the route may be handled at once; 503 for those beyond. Unless set, the server finds out
    /// (http::admission_options::adaptive_concurrency); `std::size_t(-1)`: any number, for handlers that wait for what their
    /// clients wait for, too, as a long poll does.
    route_ref& max_concurrency(std::size_t n);

private:
    friend class route_group;
    route_ref(detail::router_state* state, std::size_t first, std::size_t count) noexcept
        : state_(state), first_(first), count_(count) {}
    detail::router_state* state_;
    std::size_t first_;
    std::size_t count_; // `any` makes several at once
};

/// Routes under a common prefix, with middleware in common. It registers into the router that it came from,
/// which it must not outlive.
///
/// A pattern begins with `/`. `:name` stands for one non-empty segment (or the end of one: `/user_:name`),
/// `*name` at the end for all the rest, its leading `/` included; a backslash makes `:` and `*` literal.
/// Where several patterns match, literal text beats a parameter and a parameter beats a wildcard, from left
/// to right, in whatever order they were registered. `/files/*path` matches `/files/`, and `/files` is
/// redirected there.
///
/// A handler is called with `web::context&` and returns nothing or `task<>`. A middleware is called with
/// `(web::context&, web::next)` and returns `task<>`. Both are moved into the router and are called through
/// const, by many requests at once and on several threads: what they share needs its own guard.
///
/// Registering throws std::invalid_argument, and leaves the router as it was, when a pattern is not well
/// formed, has more than 16 parameters, or conflicts with another of the same method; the message names
/// both. (`any` may then have registered some methods.)
class route_group {
public:
    /// `get(pattern, middleware..., handler)`; and so on for each method. A `get` route answers HEAD too,
    /// unless the path has a `head` route of its own.
    template <class... Steps>
    route_ref get(std::string_view pattern, Steps&&... steps) {
        return handle(http::method::get, pattern, std::forward<Steps>(steps)...);
    }
    template <class... Steps>
    route_ref head(std::string_view pattern, Steps&&... steps) {
        return handle(http::method::head, pattern, std::forward<Steps>(steps)...);
    }
    template <class... Steps>
    route_ref post(std::string_view pattern, Steps&&... steps) {
        return handle(http::method::post, pattern, std::forward<Steps>(steps)...);
    }
    template <class... Steps>
    route_ref put(std::string_view pattern, Steps&&... steps) {
        return handle(http::method::put, pattern, std::forward<Steps>(steps)...);
    }
    template <class... Steps>
    route_ref patch(std::string_view pattern, Steps&&... steps) {
        return handle(http::method::patch, pattern, std::forward<Steps>(steps)...);
    }
    /// DELETE; the word alone is taken.
    template <class... Steps>
    route_ref delete_(std::string_view pattern, Steps&&... steps) {
        return handle(http::method::delete_, pattern, std::forward<Steps>(steps)...);
    }
    template <class... Steps>
    route_ref options(std::string_view pattern, Steps&&... steps) {
        return handle(http::method::options, pattern, std::forward<Steps>(steps)...);
    }
    template <class... Steps>
    route_ref handle(http::method m, std::string_view pattern, Steps&&... steps) {
        static_assert(sizeof...(Steps) > 0, "genever: a route needs a handler");
        std::vector<detail::step_ptr> chain = middleware_;
        append(chain, std::forward<Steps>(steps)...);
        return route_ref{state_, add(m, pattern, std::move(chain)), 1};
    }
    /// All nine methods.
    template <class... Steps>
    route_ref any(std::string_view pattern, Steps&&... steps) {
        static_assert(sizeof...(Steps) > 0, "genever: a route needs a handler");
        std::vector<detail::step_ptr> chain = middleware_;
        append(chain, std::forward<Steps>(steps)...);
        const std::size_t first = add(static_cast<http::method>(0), pattern, chain);
        for (std::size_t m = 1; m < http::method_count; ++m)
            add(static_cast<http::method>(m), pattern, chain);
        return route_ref{state_, first, http::method_count};
    }

    /// The priority of the routes and groups made from here on.
    void priority(http::priority p) noexcept { priority_ = p; }

    /// Adds middleware for the routes and groups made from here on; those made before stay as they are. The
    /// first added is the outermost.
    template <class... Middleware>
    void use(Middleware&&... m) {
        (middleware_.push_back(detail::make_middleware(std::forward<Middleware>(m))), ...);
    }

    /// A group under `prefix` (`/api`), with this one's middleware and, inside of that, `m`.
    template <class... Middleware>
    route_group group(std::string_view prefix, Middleware&&... m) {
        route_group g{state_, prefix_below(prefix), middleware_};
        g.priority_ = priority_;
        g.use(std::forward<Middleware>(m)...);
        return g;
    }

protected:
    route_group(detail::router_state* state, std::string prefix, std::vector<detail::step_ptr> middleware)
        : state_(state), prefix_(std::move(prefix)), middleware_(std::move(middleware)) {}

    template <class F, class... Rest>
    static void append(std::vector<detail::step_ptr>& chain, F&& f, Rest&&... rest) {
        if constexpr (sizeof...(Rest) == 0) {
            chain.push_back(detail::make_handler(std::forward<F>(f)));
        } else {
            chain.push_back(detail::make_middleware(std::forward<F>(f)));
            append(chain, std::forward<Rest>(rest)...);
        }
    }
    std::string prefix_below(std::string_view prefix) const;
    /// Gives the route's place in the list.
    std::size_t add(http::method m, std::string_view pattern, std::vector<detail::step_ptr> chain);

    detail::router_state* state_;
    std::string prefix_;
    std::vector<detail::step_ptr> middleware_;
    http::priority priority_ = http::priority::normal;
};

/// A service's routes, a value: a copy has the same handlers and is independent from then on. Build it on
/// one thread; converting it to an `http::handler` takes a snapshot that any number of threads may use and
/// that later registrations do not change. Each route of a snapshot is a class of traffic of its own
/// (http::traffic_class), which is asked for admission before any middleware.
///
/// What no route answers:
///  - a path that matches with a `/` more or less at its end is redirected there, with 301 (GET, HEAD) or
///    308;
///  - a path that other methods have is answered with 405 and `Allow`, or 204 and `Allow` for OPTIONS;
///  - a path with an invalid percent escape with 400;
///  - everything else with 404. All of these run through the router's own middleware, all that `use` has
///    added by the time of the snapshot. Errors are JSON: `{"error":{"status":404,"message":"Not Found"}}`.
class router : public route_group {
public:
    router();
    router(const router& o);
    router(router&& o) noexcept;
    router& operator=(router o) noexcept;
    ~router();

    /// Answers where no route matches; the status is 404 unless the handler sets another.
    template <class F>
    void no_route(F&& f) {
        set_no_route(detail::make_handler(std::forward<F>(f)));
    }
    /// Answers where only other methods match; the status is 405 unless the handler sets another, and
    /// `Allow` is set already.
    template <class F>
    void no_method(F&& f) {
        set_no_method(detail::make_handler(std::forward<F>(f)));
    }
    /// Whether to redirect to the path with or without its trailing slash. On by default.
    void redirect_trailing_slash(bool on) noexcept;

    /// All routes in the order of their registration.
    std::vector<route_info> routes() const;

    operator http::handler() const;

private:
    void set_no_route(detail::step_ptr s);
    void set_no_method(detail::step_ptr s);

    std::unique_ptr<detail::router_state> owned_;
};

} // namespace genever::web
