#include "monitor.hpp"

#include "arena.hpp"
#include "runtime_core.hpp"
#include "stuck_stack.hpp"
#include "thread_priority.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <csignal>
#include <pthread.h>
#include <time.h>
#include <utility>

namespace genever::detail {

namespace {

using namespace std::chrono_literals;

// A worker is relieved after one to two ticks in one process: short ones while there are spare threads, since hogs seldom come
// alone; otherwise longer ones. (docs/performance.md says what a look costs.)
constexpr auto short_tick = 1ms;
constexpr auto calm_tick = 2ms;
// So much CPU time since the first look at a run says that it computes.
constexpr std::int64_t computing = 400'000;
// Ticks for which all workers must have slept before the monitor does.
constexpr int idle_ticks = 2;
// Ticks after which a worker is reminded of memory that may be returned.
constexpr unsigned reminder = 8;
// How long a thread may take to tell its stack.
constexpr std::int64_t patience = 200'000'000;
// For how long after a stall a spare thread for each worker is kept.
constexpr std::int64_t spares_kept = 10'000'000'000;

/// By how much a stuck thread is lowered, when `stuck` of them there are. Each step of a nice value is a factor of 1.25 in
/// weight: a few of them together weigh about half of one ordinary thread. They give way, and go on. (A lower class,
/// SCHED_IDLE, starves whoever holds a lock or a connection as soon as the others are busy throughout; and among very many,
/// the lowest nice values were measured to make the others wait longer, not shorter.)
int nice_among(std::size_t stuck) noexcept {
    return std::min(
        10, static_cast<int>(std::lround(std::log(2.0 * static_cast<double>(stuck)) / std::log(1.25))));
}

/// How much CPU time in one run makes a hog: the less, the more of them there are. It counts, not the time that has passed,
/// so that a thread which waits for a core itself is none.
std::int64_t hogging_after(std::size_t stuck) noexcept {
    return 20'000'000 / static_cast<std::int64_t>(1 + stuck / 2);
}

std::int64_t cpu_time(const thread_state& t) noexcept {
    clockid_t clock;
    timespec used{};
    if (pthread_getcpuclockid(t.handle, &clock) != 0 || clock_gettime(clock, &used) != 0) return 0;
    return used.tv_sec * 1'000'000'000LL + used.tv_nsec;
}

} // namespace

monitor::monitor(runtime_core& core, std::int64_t report_after, std::size_t most_stuck) noexcept
    : core_(core), report_after_(report_after), most_stuck_(most_stuck), own_nice_(own_nice()),
      me_(core.threads().adopt()) {
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
    return !something_.wait_for(g, has_spares_ ? short_tick : calm_tick, [this] { return stopping_; });
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
    ask_to_be_prompt(0, own_nice_);
    const enter_thread in{me_};
    int idle = 0;
    unsigned ticks = 0;
    while (wait_for_tick()) {
        bool awake = false;
        const std::int64_t now = core_.now();
        const bool relieved_some = !stuck_.empty();
        look_at_stuck(now);
        for (unsigned i = 0; i < core_.workers(); ++i) {
            worker& w = core_.worker_at(i);
            if (w.timers.has_pending()) w.timers.date();
            awake |= look(w, now);
        }
        // What a worker comes to itself wakes nobody (decision 7): where that takes until now, others may help. And a thread
        // that was just being relieved may have left something behind; if it has ended by now, this is the first look that
        // sees all it did.
        // A worker that sleeps for good does not see what others leave empty.
        const bool to_return = the_cells.enough_empty();
        if (core_.anything_ready() || (to_return && ++ticks % reminder == 0) ||
            ((relieved_some || !stuck_.empty()) && core_.anything_left_behind()))
            core_.wake_idle_worker();
        if (has_spares_ && now - last_handover_ > spares_kept) {
            core_.threads().keep_spares(0);
            has_spares_ = false;
        }
        idle = awake || has_spares_ || to_return || asked_ || !stuck_.empty() || !core_.all_sleep()
                   ? 0
                   : idle + 1;
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
    if (busy || run != t.seen_run)
        w.look_outside.store(true, std::memory_order_relaxed); // not to wake one that sleeps
    if (!busy || run != t.seen_run) {
        t.seen_run = run;
        t.seen_at = now;
        t.seen_cpu = busy ? cpu_time(t) : 0;
        t.reported = false;
        return busy;
    }
    // One that has had no core since is no hog, and another thread would have none either.
    const std::int64_t cpu = cpu_time(t) - t.seen_cpu;
    if (cpu < computing && !is_blocked(t)) return true;
    relieve(w, t, run);
    consider_report(t, now, cpu);
    return true;
}

void monitor::consider_report(thread_state& t, std::int64_t now, std::int64_t cpu) noexcept {
    if (t.reported) return;
    if (cpu >= report_after_ || (now - t.seen_at >= report_after_ && is_blocked(t)))
        begin_report(t, now, cpu);
}

// The same for those that are no worker's any more.
void monitor::look_at_stuck(std::int64_t now) noexcept {
    const auto ended = std::erase_if(stuck_, [&](thread_state* t) {
        const std::uint64_t run = t->run_number.load(std::memory_order_acquire);
        if (run != t->seen_run &&
            run % 2 != 0) { // it took one more before it saw that its worker is another's
            if (t == asked_) return false;
            t->seen_run = run;
            t->seen_at = now;
            t->seen_cpu = cpu_time(*t);
            t->reported = false;
        }
        if (run == t->seen_run) {
            const std::int64_t cpu = cpu_time(*t) - t->seen_cpu;
            if (const int by = nice_among(stuck_.size());
                by > t->lowered_by && cpu >= hogging_after(stuck_.size())) {
                // seq_cst: before the system call, for whoever starts a thread there (blocking.cpp)
                t->lowered.store(true, std::memory_order_seq_cst);
                t->lowered_by = by;
                lower_priority(t->tid, std::min(19, own_nice_ + by));
            }
            consider_report(*t, now, cpu);
            return false;
        }
        if (t == asked_) return false; // until the answer has been read
        t->watched = false;            // it retires, and may be joined
        return true;
    });
    if (ended != 0) core_.threads().keep_spares(core_.threads().spares()); // joins them
    if (!asked_) return;
    if (auto stack = take_answer()) {
        finish_report(false, *stack);
    } else if (now - asked_at_ > patience && withdraw_question()) {
        finish_report(false, {});
    }
}

void monitor::relieve(worker& w, thread_state& stuck, std::uint64_t run) noexcept {
    // What comes of it goes to the shared queue. Timers are left to a worker: they may run users' code. The thread may have
    // gone to sleep meanwhile, and be wanted: its interrupt is handed on.
    if (w.poll.poll(0)) w.poll.interrupt();
    w.sends.try_to_submit();
    if (!core_.work_waits_for(w)) return;
    w.queue.open_lifo();
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
    handovers_.fetch_add(1, std::memory_order_relaxed);
    last_handover_ = core_.now();
    has_spares_ = true;
    core_.threads().keep_spares(core_.workers()); // for the next ones; making a thread takes a while
}

// Fills in who it is; where it is may come later.
void monitor::begin_report(thread_state& stuck, std::int64_t now, std::int64_t cpu) noexcept {
    if (asked_) return; // one after the other: at the next look
    process* p = stuck.running.load(std::memory_order_acquire);
    if (!p) return;
    try {
        report_ = {};
        report_.pid = pid_of(*p);
        report_.lasted = duration{std::max(now - stuck.seen_at, cpu)}; // the CPU time was read a little later
        report_.cpu = duration{cpu};
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
