// Tasks that run at the same time, each as a process of its own: the common part of when_all and when_any.
#pragma once

#include <genever/csp/detail/child_set.hpp>
#include <genever/csp/detail/stored_call.hpp>
#include <genever/runtime/process.hpp>
#include <genever/runtime/task.hpp>

#include <coroutine>
#include <cstddef>
#include <optional>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace genever::detail {

template <class T>
using value_or_unit = std::conditional_t<std::is_void_v<T>, std::monostate, T>;

/// A set that is stopped as soon as one child has failed.
struct strict_child_set : child_set {
    /// When all have ended. What they gave may refer to the frames of whoever waits, and goes before those, though a child
    /// on another thread may hold the last reference to the set.
    virtual void drop_results() noexcept = 0;
    void on_failure(const std::exception_ptr&) noexcept override { stop(); }
};

enum class whose : bool { all, first };

/// Runs `work` as a child; its result goes to `*out`, for `whose::first` only when it is the first to have one, and
/// `*winner` then gets its number. Both lie in the set, on which the child's share holds a reference.
template <whose Which, class T>
void start_child(child_set& set, task<T> work, std::optional<value_or_unit<T>>* out, std::size_t number,
                 std::size_t* winner) {
    using child = outlived<child_share, task<T>>;
    spawn(
        [](child c, std::optional<value_or_unit<T>>* to, std::size_t n, std::size_t* w) -> task<> {
            if (!c.outer.enter()) co_return;
            try {
                std::optional<value_or_unit<T>> result;
                if constexpr (std::is_void_v<T>) {
                    co_await std::move(c.inner);
                    result.emplace();
                } else {
                    result.emplace(co_await std::move(c.inner));
                }
                *to = std::move(result); // each has a place of its own; if this throws, the task has failed
                if constexpr (Which == whose::first) {
                    if (c.outer.win()) *w = n;
                } else {
                    c.outer.finish();
                }
            } catch (...) {
                c.outer.fail(std::current_exception());
            }
        },
        child{child_share{set}, std::move(work)}, out, number, winner);
}

/// Starts the children when it is awaited, and waits until all have ended.
class concurrent_wait : public children_wait {
public:
    using children_wait::children_wait;
    ~concurrent_wait() {
        set_->stop();
        if (set_->all_have_ended()) static_cast<strict_child_set&>(*set_).drop_results();
    }
    bool await_ready() const noexcept { return false; }

protected:
    /// Starts the children. If one cannot be started, the wait still is one for those before it.
    template <class Start>
    void start(Start start_all) noexcept {
        try {
            start_all();
        } catch (...) {
            set_->abandon(std::current_exception());
        }
    }
    void rethrow() const {
        if (auto e = set_->error()) std::rethrow_exception(e);
    }
};

} // namespace genever::detail
