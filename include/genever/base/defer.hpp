// Runs a piece of code when the scope is left, however it is left.
#pragma once

#include <type_traits>
#include <utility>

namespace genever {

/// Go's `defer`, as a value: calls `f` when it goes out of scope: by return, by exception, or because the
/// process was killed at a suspension point inside the scope. `f` must not throw.
template <class F>
class [[nodiscard("name it: `defer d{...};`, or it runs at once")]] defer {
public:
    explicit defer(F f) noexcept(std::is_nothrow_move_constructible_v<F>) : f_(std::move(f)) {}
    ~defer() { f_(); }
    defer(const defer&) = delete;
    defer& operator=(const defer&) = delete;

private:
    F f_;
};

} // namespace genever
