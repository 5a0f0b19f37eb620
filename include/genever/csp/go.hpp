// go: starts a piece of work that nobody waits for.
#pragma once

#include <genever/runtime/process.hpp>

#include <utility>

namespace genever {

/// Runs `f(args...)` as a process of its own, as Go's `go` statement does. Callable and arguments are moved into it. An
/// exception that leaves it makes a crash report and ends nobody else: unlike a goroutine's panic. To be called
/// inside a runtime.
template <class F, class... Args>
    requires std::is_invocable_v<std::decay_t<F>, std::decay_t<Args>...>
pid go(F&& f, Args&&... args) {
    return spawn(std::forward<F>(f), std::forward<Args>(args)...);
}

} // namespace genever
