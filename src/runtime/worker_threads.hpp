// The threads of a runtime: those that drive its workers, spare ones, and those that are stuck.
#pragma once

#include "thread_state.hpp"

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <mutex>

namespace genever::detail {

/// Starts threads and hands workers to them. All functions may be called by any thread, but `stop`, which is the end.
class worker_threads {
public:
    /// `drive` runs a worker's loop until the thread has lost its worker, or the runtime ends.
    worker_threads(runtime_core& core, std::function<void(thread_state&)> drive) noexcept;
    ~worker_threads();

    /// Starts a thread that drives `w`. Throws std::system_error.
    void start_on(worker& w);
    /// Gives `w` to a spare thread if there is one and `take_over(thread_state&)`, called under a lock, says so.
    template <class F>
    bool put_on(worker& w, F take_over) noexcept {
        std::lock_guard g{lock_};
        for (auto& e : all_) {
            if (!e->spare) continue;
            if (!take_over(static_cast<thread_state&>(*e))) return false;
            e->spare = false;
            --spares_;
            e->w = &w;
            assigned_.notify_all();
            return true;
        }
        return false;
    }
    std::size_t spares() const noexcept;
    /// Has `count` spare threads wait, as far as the system gives them; more than that are let go. Joins those that
    /// have retired and are watched no more. For one thread, the monitor.
    void keep_spares(std::size_t count) noexcept;
    /// Lets the spare threads end and joins all. The driving ones must be about to end.
    void stop() noexcept;

    /// Births and deaths, as counted by all threads that ever were.
    std::int64_t born() const noexcept;
    std::int64_t ended() const noexcept;
    /// A state for a thread that is not ours (the simulation's, the monitor's): it counts, and is never started.
    thread_state& adopt();
    /// How many threads drive a worker or are stuck.
    std::size_t busy() const noexcept;
    /// Whether a thread that has lost its worker runs `p`. Does not wait: false while threads start or end.
    bool a_stuck_one_runs(const process& p) const noexcept;

private:
    struct entry : thread_state {
        using thread_state::thread_state;
        bool spare = false;
    };
    entry* start(worker* w);
    void live(entry& e) noexcept;
    void reap(std::list<std::unique_ptr<entry>>& gone) noexcept;

    runtime_core& core_;
    const std::function<void(thread_state&)> drive_;
    mutable std::mutex lock_;
    std::condition_variable assigned_;
    std::list<std::unique_ptr<entry>> all_;
    std::size_t spares_ = 0;
    std::size_t adopted_ = 0;
    std::int64_t born_before_ = 0; // by threads that are gone
    std::int64_t ended_before_ = 0;
    std::uint64_t started_ = 0;
    bool stopping_ = false;
};

} // namespace genever::detail
