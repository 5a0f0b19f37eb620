// The simulated runtime: one thread, virtual time, and a seed that decides who runs next.
#pragma once

#include <genever/base/clock.hpp>
#include <genever/runtime/runtime.hpp>

#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

namespace genever {

/// Runs the same processes, mailboxes, timers and library code as `runtime`, but on the calling thread, with a
/// clock that jumps to the next timer whenever nobody is ready, and a seeded choice among those who are. Two
/// runs with one seed take the same steps; another seed gives another interleaving. Sockets do not belong here:
/// nothing waits for the outside.
class simulation {
public:
    explicit simulation(std::uint64_t seed, crash_handler on_crash = {});
    /// Kills what still lives, and ends it.
    ~simulation();
    simulation(const simulation&) = delete;
    simulation& operator=(const simulation&) = delete;

    /// Runs `f()` as a process, and everything else, until it has ended. Returns its result or rethrows what ended
    /// it; throws std::runtime_error naming who waits where nobody can go on and no timer is armed (deadlock).
    template <class F>
    auto run(F f) {
        return detail::run_with_result(std::move(f), [this](auto body) {
            auto end = detail::spawn_watched(core_.get(), std::move(body));
            run_until_set(*end);
            detail::throw_unless_normal(end->wait());
        });
    }
    /// Starts a process; it takes its first step in the next `run` or `run_for`.
    template <class F, class... Args>
    pid spawn(F&& f, Args&&... args) {
        return detail::spawn_on(core_.get(), nullptr, std::forward<F>(f), std::forward<Args>(args)...);
    }
    /// Runs everything for `d` of virtual time, or until nothing is left to do.
    void run_for(duration d);
    /// Takes one step of one process. False when nobody is ready.
    bool step();

    /// How many processes live.
    std::size_t live() const noexcept;
    std::uint64_t seed() const noexcept { return seed_; }
    /// A number below `bound` (more than 0) from the simulation's generator, for tests that choose at random.
    std::uint64_t random(std::uint64_t bound) noexcept;

private:
    void run_until_set(const detail::end_slot& end);

    std::uint64_t seed_;
    std::unique_ptr<detail::runtime_core> core_;
};

/// How many seeds a test shall run: the environment's GENEVER_SEEDS, or `fallback`.
unsigned seeds_to_run(unsigned fallback) noexcept;
/// The one seed to run again: the environment's GENEVER_SEED; nothing if it is not set.
std::optional<std::uint64_t> seed_to_replay() noexcept;

} // namespace genever
