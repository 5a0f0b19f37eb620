#include "monitor.hpp"

#include "runtime_core.hpp"
#include "stuck_stack.hpp"

#include <chrono>
#include <csignal>
#include <pthread.h>
#include <sched.h>
#include <utility>

namespace genever::detail {

namespace {

using namespace std::chrono_literals;

// A worker is relieved after one to two ticks in one process.
constexpr auto tick = 1ms;
// Ticks for which all workers must have slept before the monitor does.
constexpr int idle_ticks = 2;
// How long a thread may take to tell its stack.
constexpr std::int64_t patience = 200'000'000;
// For how long after a stall a spare thread for each worker is kept.
constexpr std::int64_t spares_kept = 10'000'000'000;

/// The lowest priority that there is: it runs when nobody else wants the core, and is preempted at once.
void step_back(const thread_state& t) noexcept {
    const sched_param none{};
    sched_setscheduler(t.tid, SCHED_IDLE,
                       &none); // if it fails the system shares the core evenly, which works too
}

} // namespace

monitor::monitor(runtime_core& core, std::int64_t report_after, std::size_t most_stuck) noexcept
    : core_(core), report_after_(report_after), most_stuck_(most_stuck), me_(core.threads().adopt()) {
    me_.helper = true;
}

void monitor::start() {
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); // signals are the main thread's
    try {
        thread_ = std::thread{[this] { watch(); }};
    } catch (...) {
        pthread_sigmask(SIG_SETMASK, &before, nullptr);
        throw;
    }
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

void monitor::stop() noexcept {
    {
        std::lock_guard g{lock_};
        stopping_ = true;
    }
    something_.notify_one();
    if (thread_.joinable()) thread_.join();
    // The question is the whole program's: the next runtime wants to ask, too.
    while (asked_ && !withdraw_question() && !take_answer()) std::this_thread::yield();
    asked_ = nullptr;
}

void monitor::wake() noexcept {
    {
        std::lock_guard g{lock_};
        asleep_.store(false, std::memory_order_relaxed);
    }
    something_.notify_one();
}

bool monitor::wait_for_tick() noexcept {
    std::unique_lock g{lock_};
    return !something_.wait_for(g, tick, [this] { return stopping_; });
}

void monitor::wait_for_work() noexcept {
    std::unique_lock g{lock_};
    // seq_cst, and the look at the workers after it: a worker that wakes clears its mark first and looks at `asleep_`
    // then, so one of the two sees the other
    asleep_.store(true, std::memory_order_seq_cst);
    if (core_.all_sleep())
        something_.wait(g, [this] { return stopping_ || !asleep_.load(std::memory_order_relaxed); });
    asleep_.store(false, std::memory_order_relaxed);
}

void monitor::watch() noexcept {
    pthread_setname_np(pthread_self(), "genever-monitor");
    const enter_thread in{me_};
    int idle = 0;
    while (wait_for_tick()) {
        bool awake = false;
        const std::int64_t now = core_.now();
        look_at_stuck(now);
        for (unsigned i = 0; i < core_.workers(); ++i) awake |= look(core_.worker_at(i), now);
        // A thread that was just being relieved may have left something behind without waking anybody.
        if (!stuck_.empty() && core_.anything_left_behind()) core_.wake_idle_worker();
        if (has_spares_ && now - last_handover_ > spares_kept) {
            core_.threads().keep_spares(0);
            has_spares_ = false;
        }
        idle = awake || has_spares_ || !stuck_.empty() || !core_.all_sleep() ? 0 : idle + 1;
        if (idle < idle_ticks) continue;
        wait_for_work();
        idle = 0;
    }
}

// True when a process runs there.
bool monitor::look(worker& w, std::int64_t now) noexcept {
    thread_state& t = *w.driver.load(std::memory_order_acquire);
    // acquire: pairs with the release in `run`; what is read below belongs to this run or a later one
    const std::uint64_t run = t.run_number.load(std::memory_order_acquire);
    const bool busy = run % 2 != 0;
    if (!busy || run != t.seen_run) {
        t.seen_run = run;
        t.seen_at = now;
        t.reported = false;
        return busy;
    }
    relieve(w, t, run);
    if (!t.reported && now - t.seen_at >= report_after_) begin_report(t, now);
    return true;
}

// The same for those that are no worker's any more.
void monitor::look_at_stuck(std::int64_t now) noexcept {
    std::erase_if(stuck_, [&](thread_state* t) {
        if (t->run_number.load(std::memory_order_acquire) == t->seen_run) {
            if (!t->reported && now - t->seen_at >= report_after_) begin_report(*t, now);
            return false;
        }
        if (t == asked_) return false; // until the answer has been read
        t->watched = false;            // it retires, and may be joined
        return true;
    });
    if (!asked_) return;
    if (auto stack = take_answer()) {
        finish_report(false, *stack);
    } else if (now - asked_at_ > patience && withdraw_question()) {
        finish_report(false, {});
    }
}

void monitor::relieve(worker& w, thread_state& stuck, std::uint64_t run) noexcept {
    me_.w = &w;
    w.timers.expire(core_.now());
    w.poll.poll(0);
    if (!core_.work_waits_for(w)) return;
    if (core_.wake_idle_worker()) return; // it takes what is ready here
    if (core_.threads().busy() >= core_.workers() + most_stuck_) return;
    try {
        stuck_.reserve(stuck_.size() + 1);
    } catch (...) {
        return;
    }
    if (core_.threads().spares() == 0) core_.threads().keep_spares(1);
    stuck.watched = true; // before it can find out and end
    const bool done = core_.threads().put_on(w, [&](thread_state& spare) {
        spin_guard g{w.driver_lock};
        if (w.driver.load(std::memory_order_relaxed) != &stuck ||
            stuck.run_number.load(std::memory_order_acquire) != run)
            return false;
        // release: pairs with the acquire of those who look at the driver; the thread itself looks under the lock
        w.driver.store(&spare, std::memory_order_release);
        return true;
    });
    if (!done) {
        stuck.watched = false;
        return;
    }
    stuck_.push_back(&stuck);
    step_back(stuck);
    handovers_.fetch_add(1, std::memory_order_relaxed);
    last_handover_ = core_.now();
    has_spares_ = true;
    core_.threads().keep_spares(core_.workers()); // for the next ones; making a thread takes a while
}

// Fills in who it is; where it is may come later.
void monitor::begin_report(thread_state& stuck, std::int64_t now) noexcept {
    if (asked_) return; // one after the other: at the next look
    process* p = stuck.running.load(std::memory_order_acquire);
    if (!p) return;
    try {
        report_ = {};
        report_.pid = pid_of(*p);
        report_.lasted = duration{now - stuck.seen_at};
        if (auto i = info(report_.pid)) {
            report_.label = std::move(i->label);
            report_.names = std::move(i->names);
        }
    } catch (...) {
        return; // without memory there is no report
    }
    asked_ = &stuck;
    asked_run_ = stuck.seen_run;
    asked_at_ = now;
    if (auto stack = stack_if_blocked(stuck))
        finish_report(true, *stack);
    else if (!ask_for_stack(stuck))
        asked_ = nullptr;
}

void monitor::finish_report(bool in_system_call, stack_trace stack) noexcept {
    thread_state& stuck = *std::exchange(asked_, nullptr);
    // Nothing of it is true if it has gone on meanwhile.
    if (stuck.seen_run != asked_run_ || stuck.run_number.load(std::memory_order_acquire) != asked_run_)
        return;
    stuck.reported = true;
    report_.in_system_call = in_system_call;
    report_.stack = stack;
    core_.report(std::move(report_));
}

} // namespace genever::detail
