// Handlers and middleware behind one interface: the steps of a route's chain.
#pragma once

#include <genever/http/admission.hpp>
#include <genever/runtime/task.hpp>

#include <cstdint>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace genever::web {

class context;

/// The rest of a route's chain, as a middleware is given it: later middleware and at last the handler.
///
/// `co_await next(c)` runs it and returns when the handler is done; an exception that it throws comes out
/// here. Call it at most once: a second call throws std::logic_error. Not calling it ends the chain, and
/// the response is what the middleware has made it. Use it within the middleware's own run, in the
/// request's process.
class next {
public:
    /// Steps that have nothing to wait for run within this call, which then gives an empty task.
    task<> operator()(context& c) const;

    /// For the router: the chain from this position on.
    explicit next(std::uint32_t position) noexcept : position_(position) {}

private:
    std::uint32_t position_;
};

namespace detail {

/// One link of a chain. Many requests run it at once, on several threads.
struct step {
    virtual ~step() = default;
    virtual task<> call(context& c, next rest) const = 0;
};
using step_ptr = std::shared_ptr<const step>;

/// A route as a request sees it.
struct route {
    std::string pattern;
    std::vector<std::string> param_names;
    std::vector<step_ptr> chain; // middleware from the outside in, the handler last
    http::traffic traffic;
    std::shared_ptr<http::traffic_class> admission; // of a snapshot's routes
};

template <class F>
struct handler_step final : step {
    template <class G>
    explicit handler_step(G&& g) : f(std::forward<G>(g)) {}
    task<> call(context& c, next) const override {
        if constexpr (std::is_void_v<std::invoke_result_t<const F&, context&>>) {
            f(c);
            return {};
        } else {
            return f(c);
        }
    }
    F f;
};

template <class F>
struct middleware_step final : step {
    template <class G>
    explicit middleware_step(G&& g) : f(std::forward<G>(g)) {}
    task<> call(context& c, next rest) const override { return f(c, rest); }
    F f;
};

template <class F>
inline constexpr bool is_handler = [] {
    if constexpr (std::is_invocable_v<const F&, context&>) {
        using result = std::invoke_result_t<const F&, context&>;
        return std::is_void_v<result> || std::is_same_v<result, task<>>;
    } else {
        return false;
    }
}();

template <class F>
inline constexpr bool is_middleware = [] {
    if constexpr (std::is_invocable_v<const F&, context&, next>)
        return std::is_same_v<std::invoke_result_t<const F&, context&, next>, task<>>;
    else
        return false;
}();

template <class F>
step_ptr make_handler(F&& f) {
    using stored = std::decay_t<F>;
    static_assert(
        is_handler<stored>,
        "genever: a handler must look like `void(web::context&)` or `task<>(web::context&)` and be callable "
        "through const (no `mutable` lambda: it runs on several threads at once)");
    if constexpr (is_handler<stored>)
        return std::make_shared<const handler_step<stored>>(std::forward<F>(f));
    else
        return nullptr;
}

template <class F>
step_ptr make_middleware(F&& f) {
    using stored = std::decay_t<F>;
    static_assert(
        is_middleware<stored>,
        "genever: a middleware must look like `task<>(web::context&, web::next)` and be callable through "
        "const (no `mutable` lambda: it runs on several threads at once)");
    if constexpr (is_middleware<stored>)
        return std::make_shared<const middleware_step<stored>>(std::forward<F>(f));
    else
        return nullptr;
}

} // namespace detail
} // namespace genever::web
