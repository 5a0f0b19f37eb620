// A callable with its arguments, and what has to outlive them.
#pragma once

#include <genever/runtime/task.hpp>

#include <functional>
#include <tuple>
#include <type_traits>
#include <utility>

namespace genever::detail {

/// `f(args...)`, for once, later.
template <class F, class... Args>
class stored_call {
public:
    using result = std::invoke_result_t<F, Args...>;

    template <class G, class... Given>
    explicit stored_call(G&& f, Given&&... args)
        : f_(std::forward<G>(f)), args_(std::forward<Given>(args)...) {}

    result operator()() { return std::apply(std::move(f_), std::move(args_)); }

private:
    F f_;
    std::tuple<Args...> args_;
};

/// A member that outlives another one: the one parameter of a coroutine that owns both. (Two parameters would do, but for
/// GCC, 12 at least, which destroys a coroutine's parameters in the order of their declaration.)
template <class Outer, class Inner>
struct outlived {
    Outer outer;
    Inner inner; // goes first

    template <class... Given>
    explicit outlived(Outer o, Given&&... inside)
        : outer(std::move(o)), inner(std::forward<Given>(inside)...) {}
    outlived(outlived&&) = default;
};

} // namespace genever::detail
