// The threads for what blocks.
//
// A job is, in turn: with a thread at once (an idle one, the one that became idle last; else a new one), or in the
// queue when there are as many threads as there may be. A thread is
//
//                    job ends, queue empty
//        busy ───────────────────────────────▶ idle ──── keep-alive passed ───▶ ended, to be joined
//         ▲ │ job ends, takes the next           │
//         └─┘◀──────────── is given a job ───────┘
//
// Hence: when the queue is not empty, no thread is idle. As it is the latest that is called, the earliest ones, which
// nobody needs, get old. A thread that ends joins the one that ended before it; the last one is joined by `stop`.
#pragma once

#include <genever/base/clock.hpp>
#include <genever/runtime/blocking.hpp>

#include <condition_variable>
#include <cstddef>
#include <list>
#include <memory>
#include <mutex>
#include <thread>

namespace genever::detail {

class blocking_pool {
public:
    static constexpr duration usual_keep_alive = std::chrono::seconds{10};

    /// No thread is started yet. `most_threads`: at least one.
    explicit blocking_pool(unsigned most_threads, duration keep_alive = usual_keep_alive) noexcept
        : most_threads_(most_threads ? most_threads : 1), keep_alive_(keep_alive) {}
    ~blocking_pool() { stop(); }
    blocking_pool(const blocking_pool&) = delete;
    blocking_pool& operator=(const blocking_pool&) = delete;

    /// Runs the job on some thread. After `close` it is dropped. Throws std::system_error, and drops it, when there is no
    /// thread and the system gives none. False, and the job is the caller's still: a thread had to be started, and the
    /// calling one, stuck until now, has been lowered, which the new one would inherit. Any thread.
    bool submit(std::unique_ptr<blocking_job>&& job);
    /// No job is started from now on; those that are queued are dropped.
    void close() noexcept;
    /// Closes, waits for the jobs under way, and ends all threads.
    void stop() noexcept;

    /// How many threads there are.
    std::size_t threads() const;

private:
    struct member {
        std::thread thread;
        std::condition_variable called;
        std::unique_ptr<blocking_job> job;
    };
    using members = std::list<member>;

    bool start_thread(std::unique_ptr<blocking_job>& job);
    void work(members::iterator me) noexcept;
    bool wait_for_job(std::unique_lock<std::mutex>& g, members::iterator me);

    const unsigned most_threads_;
    const duration keep_alive_;

    mutable std::mutex lock_; // guards what follows, and each member's fields
    bool closed_ = false;
    members busy_;
    members idle_;  // the latest first
    members ended_; // not joined yet: one at most, but while they stop
    blocking_job* first_ = nullptr;
    blocking_job* last_ = nullptr;
    std::condition_variable fewer_; // for `stop`: a thread has ended
};

} // namespace genever::detail
