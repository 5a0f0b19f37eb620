// Calls that block: the way to the pool's threads and back, and the threads.
#include <genever/runtime/blocking.hpp>

#include "blocking_pool.hpp"
#include "runtime_core.hpp"
#include "thread_priority.hpp"

#include <algorithm>
#include <chrono>
#include <csignal>
#include <new>
#include <pthread.h>
#include <stdexcept>
#include <utility>

namespace genever::detail {

void blocking_failure::keep_current() noexcept {
    error_ = std::current_exception();
    if (const stack_trace t = trace_of(error_); !t.empty()) trace_.reset(new (std::nothrow) stack_trace{t});
}

void blocking_failure::rethrow_if_any() {
    if (!error_) return;
    if (trace_) adopt_trace(error_, *trace_);
    std::rethrow_exception(std::move(error_));
}

bool still_waits(wait_ticket t) noexcept {
    spin_guard g{t.p->lock};
    return t.p->token == t.token && !t.p->killed && !t.p->interrupted;
}

namespace {

/// For the callable the simulation's thread is no part of the runtime, as a thread of the pool is none; but the clock stays
/// the simulation's.
class step_outside {
public:
    explicit step_outside(thread_state& t) noexcept
        : t_(t), running_(t.running.exchange(nullptr, std::memory_order_relaxed)) {
        t_.outside = true;
    }
    ~step_outside() {
        t_.outside = false;
        t_.running = running_;
    }
    step_outside(const step_outside&) = delete;
    step_outside& operator=(const step_outside&) = delete;

private:
    thread_state& t_;
    process* running_;
};

void run_simulated(process& p, std::coroutine_handle<> h, std::unique_ptr<blocking_job> job) noexcept {
    {
        step_outside here{p.home->simulation_thread()};
        job->run();
        job.reset();
    }
    if (p.home->random()() % 2 == 0) return; // the answer is here: the worker goes on at once
    cancel_park(p);
    requeue(p, h);
}

} // namespace

job_wait wait_for_job(process& p, std::coroutine_handle<> h, std::unique_ptr<blocking_job>& job,
                      blocking_failure& failure) noexcept {
    try {
        if (!job) throw std::logic_error("genever: a blocking call was awaited twice");
        job->ticket = prepare_park(p, h);
        if (p.home->is_simulated()) {
            run_simulated(p, h, std::move(job));
            return job_wait::begun;
        }
        // When it is taken, the process may be running elsewhere by now, and its frame be gone: `job` with it.
        std::unique_ptr<blocking_job> mine = std::move(job);
        if (p.home->blocking().submit(std::move(mine))) return job_wait::begun;
        job = std::move(mine);
        cancel_park(p);
        return job_wait::elsewhere;
    } catch (...) {
        // Nothing was published.
        failure.keep_current();
        cancel_park(p);
        return job_wait::failed;
    }
}

// ---- the pool

namespace {

/// Whether the calling thread has been relieved of its worker and runs at a low priority, or is about to.
bool on_lowered_thread() noexcept {
    const thread_state* t = this_thread();
    return t && t->lowered.load(std::memory_order_seq_cst);
}

} // namespace

bool blocking_pool::submit(std::unique_ptr<blocking_job>&& given) {
    // A job that is dropped goes after the lock: its captures are the user's code.
    std::unique_ptr<blocking_job> job = std::move(given);
    std::lock_guard g{lock_};
    if (closed_) return true;
    if (!idle_.empty()) {
        const auto latest = idle_.begin();
        busy_.splice(busy_.begin(), idle_, latest);
        latest->job = std::move(job);
        latest->called.notify_one(); // under the lock: the member may be gone after it
        return true;
    }
    if (busy_.size() < most_threads_) {
        try {
            if (start_thread(job)) return true;
            given = std::move(job);
            return false;
        } catch (...) {
            if (busy_.empty()) throw;
            // One of those that there are will come to it.
        }
    }
    blocking_job* j = job.release();
    (first_ ? last_->next : first_) = j;
    last_ = j;
    return true;
}

// Under the lock. Throws, or says false, and the job stays the caller's.
//
// A new thread inherits its starter's priority, and could not raise a low one. The monitor marks a thread before it lowers it:
// where there is no mark after the start, the new thread has the program's priority.
bool blocking_pool::start_thread(std::unique_ptr<blocking_job>& job) {
    if (on_lowered_thread()) return false;
    busy_.emplace_front();
    const auto me = busy_.begin();
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    for (int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP}) sigdelset(&all, fault);
    pthread_sigmask(SIG_SETMASK, &all, &before); // signals are the main thread's
    try {
        me->thread = std::thread{[this, me] { work(me); }};
    } catch (...) {
        pthread_sigmask(SIG_SETMASK, &before, nullptr);
        busy_.erase(me);
        throw;
    }
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    if (on_lowered_thread())
        return false; // in between: that thread finds no job, unless one is queued by then, and ends
    me->job = std::move(job);
    return true;
}

void blocking_pool::work(members::iterator me) noexcept {
    pthread_setname_np(pthread_self(), "genever-block");
    ask_for_usual_slices(0); // its starter's, a worker's, are short
    std::unique_lock g{lock_};
    bool idle = false;
    const auto take_from_queue = [&] {
        if (!first_) return;
        me->job.reset(first_);
        first_ = first_->next;
    };
    // Whoever was queued while a thread without a job counted as one that would come to it must not wait for ever: it is run,
    // at whatever priority.
    if (!me->job) take_from_queue();
    while (me->job) {
        std::unique_ptr<blocking_job> job = std::move(me->job);
        g.unlock();
        job->run();
        job.reset();
        g.lock();
        take_from_queue();
        if (!me->job) idle = !wait_for_job(g, me);
    }
    members before;
    before.splice(before.end(), ended_);
    ended_.splice(ended_.end(), idle ? idle_ : busy_, me);
    fewer_.notify_all();
    g.unlock();
    for (member& m : before) m.thread.join();
}

// Under the lock. False: this thread shall end; it is in `idle_` then.
bool blocking_pool::wait_for_job(std::unique_lock<std::mutex>& g, members::iterator me) {
    constexpr duration for_ever = std::chrono::hours{24 * 365};
    const auto until = std::chrono::steady_clock::now() + std::min(keep_alive_, for_ever);
    idle_.splice(idle_.begin(), busy_, me);
    while (!me->job && !closed_)
        if (me->called.wait_until(g, until) == std::cv_status::timeout) break;
    return me->job != nullptr;
}

void blocking_pool::close() noexcept {
    blocking_job* dropped;
    {
        std::lock_guard g{lock_};
        closed_ = true;
        dropped = std::exchange(first_, nullptr);
        for (member& m : idle_) m.called.notify_one();
    }
    while (dropped) delete std::exchange(dropped, dropped->next);
}

void blocking_pool::stop() noexcept {
    close();
    std::unique_lock g{lock_};
    fewer_.wait(g, [this] { return busy_.empty() && idle_.empty(); });
    members last;
    last.splice(last.end(), ended_);
    g.unlock();
    for (member& m : last) m.thread.join();
}

std::size_t blocking_pool::threads() const {
    std::lock_guard g{lock_};
    return busy_.size() + idle_.size();
}

} // namespace genever::detail
