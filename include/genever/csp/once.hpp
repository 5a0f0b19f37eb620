// once: does a thing once, whoever asks for it first.
#pragma once

#include <genever/csp/mutex.hpp>
#include <genever/runtime/task.hpp>

#include <atomic>
#include <functional>
#include <type_traits>
#include <utility>

namespace genever {

/// Runs one of the callables that it is given once; who asks meanwhile waits until that is done. A call that fails, by an
/// exception (which its caller gets) or because its process is killed or its deadline passes, does not count: the next
/// one tries again, as with std::call_once and unlike Go's sync.Once, which would leave behind a thing half done. Calling
/// it from inside its own callable waits for ever. Usable on any thread; it must outlive those who wait.
///
///     co_await connected.call([&]() -> task<> { connection = co_await dial(); });
class once {
public:
    once() noexcept = default;
    once(const once&) = delete;
    once& operator=(const once&) = delete;

    /// Returns when one call has succeeded: this one, an earlier one, or one that ran meanwhile. `f` is a function or a
    /// coroutine; it is kept until the call is over. When all is done already, that costs one load.
    template <class F>
        requires std::is_invocable_v<F&>
    task<> call(F f) {
        if (done()) return {};
        return first(std::move(f));
    }

    /// Whether a call has succeeded; what it did is visible then.
    bool done() const noexcept {
        // acquire: pairs with the release in `first`
        return done_.load(std::memory_order_acquire);
    }

private:
    template <class F>
    task<> first(F f) {
        auto g = co_await mutex_.lock();
        if (done_.load(std::memory_order_relaxed)) co_return; // under the mutex
        if constexpr (detail::is_task<std::invoke_result_t<F&>>)
            co_await std::invoke(f);
        else
            std::invoke(f);
        done_.store(true, std::memory_order_release);
    }

    std::atomic<bool> done_{false};
    mutex mutex_;
};

} // namespace genever
