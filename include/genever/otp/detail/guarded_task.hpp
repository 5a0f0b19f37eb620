// A task that may not be made, with what it was given, inside a co_await expression where the compiler breaks that.
#pragma once

#include <genever/runtime/task.hpp>

#include <type_traits>
#include <utility>

namespace genever::detail {

/// Whether an argument deduced as `T&&` may be made inside a co_await expression: GCC 12 destroys a closure, or another
/// aggregate, that is made there twice.
#if defined(__GNUC__) && !defined(__clang__) && __GNUC__ < 13
template <class T>
inline constexpr bool closure_is_safe = std::is_lvalue_reference_v<T> || std::is_trivially_destructible_v<T>;
template <class T>
inline constexpr bool argument_is_safe = closure_is_safe<T> || !std::is_aggregate_v<T>;
#else
template <class T>
inline constexpr bool closure_is_safe = true;
template <class T>
inline constexpr bool argument_is_safe = true;
#endif

template <class T, bool Safe>
class [[nodiscard("it does nothing until it is awaited: co_await it")]] guarded_task : public task<T> {
public:
    explicit guarded_task(task<T> t) noexcept : task<T>(std::move(t)) {}

    auto operator co_await() & noexcept { return static_cast<task<T>&&>(*this).operator co_await(); }
    auto operator co_await() && noexcept {
        static_assert(
            Safe,
            "genever: GCC 12 miscompiles a callable that owns something (captures by value), or an "
            "aggregate, "
            "that is made inside the co_await expression: name the whole first, auto work = x.f([y] {...}); "
            "co_await work");
        return static_cast<task<T>&&>(*this).operator co_await();
    }
};

} // namespace genever::detail
