// Who runs next: the workers' loop and the simulation's step.
#include "arena.hpp"
#include "runtime_core.hpp"

#include <algorithm>
#include <atomic>
#include <bit>
#include <time.h>
#include <utility>

namespace genever::detail {

namespace {

thread_local thread_state* here = nullptr;

// Prime, so that the checks do not fall into step with a program's own rhythm (as in Go's scheduler). Where 61 runs take long
// the monitor sees to it that descriptors and the shared queue are looked at every other millisecond (`worker::look_outside`).
constexpr unsigned outside_every = 61;
constexpr unsigned timers_every = 8;
constexpr unsigned pending_every =
    64;                         // timers that nobody has looked the time up for yet: most are soon cancelled
constexpr unsigned several = 2; // runs between two looks of a worker that has nothing left to do
constexpr unsigned transfers_before_yield = 4096;
constexpr std::size_t worth_a_wake = 256; // ready ones that nobody looks after

} // namespace

thread_state* this_thread() noexcept {
    asm volatile(""); // keeps the function from being taken for a pure one
    return here;
}

enter_thread::enter_thread(thread_state& t) noexcept : before_(here) { here = &t; }
enter_thread::~enter_thread() { here = before_; }

process* current_process() noexcept {
    thread_state* t = this_thread();
    return t ? t->running.load(std::memory_order_relaxed) : nullptr;
}

bool may_continue_slowly(process& p) noexcept {
    if (p.operations % operations_before_yield == 0) return false;
    if ((p.attention.load(std::memory_order_relaxed) & signal_waits) != 0) return false;
    return !p.home->is_simulated() || p.home->random()() % 4 != 0;
}

std::int64_t system_now() noexcept {
    timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1'000'000'000LL + t.tv_nsec;
}

std::int64_t runtime_core::now() const noexcept { return simulated_ ? virtual_now_ : system_now(); }

// ---- making ready

void push_ready(process& p) noexcept { p.home->make_ready(p, true); }

void runtime_core::make_ready(process& p, bool woken) noexcept {
    if (simulated_) {
        ready_.push_back(&p);
        return;
    }
    thread_state* t = this_thread();
    if (!t || t->core != this || t->helper) {
        shared_.push(p);
        notify_one();
        return;
    }
    run_queue& q = t->w->queue;
    if (t->w->driver.load(std::memory_order_relaxed) != t) [[unlikely]] {
        // A stuck thread that has been relieved runs nothing more itself. It may well make many ready, one after the other:
        // to wake a worker for each would cost both dearly. The monitor, which is awake while anyone is stuck, wakes one
        // at its next look. (That look also finds what a thread pushes that is being relieved just now.)
        q.push(p);
        if (q.waiting() >= worth_a_wake) notify_one();
        return;
    }
    const bool between = t->running.load(std::memory_order_relaxed) == nullptr;
    if (woken && !between)
        q.push_lifo(p);
    else
        q.push(p);
    // What this thread runs next itself is nobody else's business: to wake another one costs more than most runs take.
    // (Where it does not come to it, the monitor wakes one.) One that yields to whom it has woken goes on here, too.
    const std::size_t own = woken || !between ? 1 : 2;
    if ((workers_.size() > 1 && q.length() > own) || t->w->driver.load(std::memory_order_relaxed) != t)
        notify_one();
}

namespace {

// Between a write that the other side shall see and the read that shall see the other side's: one of the two does (see
// the head of runtime_core.hpp).
void look_after_write() noexcept {
#if defined(__SANITIZE_THREAD__)
    static std::atomic<int> meeting_point{0}; // ThreadSanitizer knows no fences
    meeting_point.fetch_add(1, std::memory_order_seq_cst);
#else
    std::atomic_thread_fence(std::memory_order_seq_cst);
#endif
}

} // namespace

void runtime_core::notify_one() noexcept {
    look_after_write();
    if (idle_.load(std::memory_order_acquire) == 0) return;
    if (searching_.load(std::memory_order_acquire) == 0) wake_idle_worker();
}

bool runtime_core::wake_idle_worker() noexcept {
    unsigned none = 0;
    if (!searching_.compare_exchange_strong(none, 1, std::memory_order_acq_rel)) return true;
    for (std::uint64_t idle = idle_.load(std::memory_order_acquire); idle != 0;) {
        const std::uint64_t bit = idle & (~idle + 1);
        if (idle_.fetch_and(~bit, std::memory_order_acq_rel) & bit) {
            workers_[static_cast<unsigned>(std::countr_zero(bit))]->poll.interrupt();
            return true; // that worker searches in our name
        }
        idle = idle_.load(std::memory_order_acquire);
    }
    searching_.fetch_sub(1, std::memory_order_acq_rel);
    return false;
}

void runtime_core::stop_searching(thread_state& t) noexcept {
    if (!t.searching) return;
    t.searching = false;
    if (searching_.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
    look_after_write();
    if (anything_ready()) notify_one();
}

bool runtime_core::anything_left_behind() const noexcept {
    return !shared_.looks_empty() ||
           std::ranges::any_of(workers_, [](const auto& w) { return !w->queue.looks_empty(); });
}

bool runtime_core::all_sleep() const noexcept {
    const std::uint64_t all = ~std::uint64_t{0} >> (64 - workers_.size());
    return idle_.load(std::memory_order_seq_cst) == all; // seq_cst: see monitor::wait_for_work
}

bool runtime_core::anything_ready() const noexcept {
    if (!shared_.looks_empty()) return true;
    return std::ranges::any_of(workers_, [](const auto& w) { return w->queue.waiting() != 0; });
}

// ---- a worker's loop

void runtime_core::work(thread_state& t) {
    t.bottom_frame = __builtin_frame_address(0);
    worker& w = *t.w;
    while (!threads_may_end_.load(std::memory_order_acquire)) {
        if (w.driver.load(std::memory_order_relaxed) != &t) [[unlikely]]
            break; // relieved
        process* p = next(t);
        if (!p) p = steal(t);
        if (!p) {
            sleep(t);
            continue;
        }
        stop_searching(t);
        run(t, *p);
    }
    if (std::exchange(t.searching, false)) searching_.fetch_sub(1, std::memory_order_acq_rel);
    w.sends.submit(); // posted while it was being relieved, when the other one may have seen nothing yet
    look_after_write();
    if (anything_left_behind()) notify_one(); // relieved: what it made ready woke nobody
}

void runtime_core::stop_threads() noexcept {
    if (monitor_) monitor_->stop();
    threads_may_end_.store(true);
    for (auto& w : workers_) w->poll.interrupt();
    threads_.stop();
}

process* runtime_core::next(thread_state& t) {
    worker& w = *t.w;
    ++t.tick;
    if (t.tick % outside_every == 0 || w.look_outside.load(std::memory_order_relaxed)) {
        w.look_outside.store(false, std::memory_order_relaxed);
        w.sends.submit();
        if (w.poll.watches() && w.poll.poll(0) && w.driver.load(std::memory_order_acquire) != &t)
            w.poll.interrupt(); // it was for the thread that has this worker by now
        if (process* p = shared_.pop(t.lifo_streak)) return p;
    }
    if (t.tick % timers_every == 0 && w.timers.next_event() != timer_wheel::never)
        w.timers.expire(now());
    else if (t.tick % pending_every == 0 && w.timers.has_pending())
        w.timers.expire(now());
    if (process* p = w.queue.pop(t.lifo_streak)) return p;
    return shared_.pop(t.lifo_streak);
}

process* runtime_core::steal(thread_state& t) {
    const auto n = static_cast<unsigned>(workers_.size());
    if (n == 1) return nullptr;
    if (!t.searching) {
        if (2 * searching_.load(std::memory_order_relaxed) >= n) return nullptr; // enough are looking
        t.searching = true;
        searching_.fetch_add(1, std::memory_order_acq_rel);
    }
    t.random ^= t.random << 13;
    t.random ^= t.random >> 7;
    t.random ^= t.random << 17;
    const auto first = static_cast<unsigned>(t.random % n);
    std::int64_t time = 0;
    for (unsigned i = 0; i < n; ++i) {
        worker& other = *workers_[(first + i) % n];
        if (&other == t.w) continue;
        if (process* p = other.queue.steal_into(t.w->queue)) return p;
        if (other.timers.has_pending() || other.timers.next_event() != timer_wheel::never) {
            if (time == 0) time = now();
            if ((other.timers.has_pending() || other.timers.next_event() <= time) &&
                other.timers.expire(time) != 0)
                if (process* p = t.w->queue.pop(t.lifo_streak)) return p;
        }
    }
    return nullptr;
}

// Returns memory of processes that have ended, a piece at a time; in between it looks at everything else, which waits for
// up to a millisecond.
void runtime_core::tidy(thread_state& t) noexcept {
    constexpr std::int64_t between_pieces = 1'000'000;
    constexpr std::int64_t between_looks_at_cells = 10'000'000;
    // What is busy now and then must not lose its blocks each time, nor get up for that.
    constexpr std::int64_t between_looks_at_blocks = 100'000'000;
    if (now() >= t.tidies_cells_at) {
        const bool more = the_cells.tidy();
        t.tidies_cells_at = now() + (more ? between_pieces : between_looks_at_cells);
    }
    if (now() >= t.tidies_blocks_at) {
        const bool more = pool_tidy();
        t.tidies_blocks_at = now() + (more ? between_pieces : between_looks_at_blocks);
    }
}

void runtime_core::sleep(thread_state& t) {
    worker& w = *t.w;
    // Where several ran since the last look, more has come meanwhile, as a rule. Then it does not sleep, and what was posted goes
    // together with what will be.
    const unsigned ran = t.tick - std::exchange(t.slept_at, t.tick);
    if (ran > several && w.poll.watches()) {
        if (w.poll.poll(0) && w.driver.load(std::memory_order_acquire) != &t) w.poll.interrupt();
        if (!w.queue.looks_empty()) return;
    }
    w.sends.submit(); // before the queue is looked at: one that could not be sent makes its process ready
    const bool untidy_cells = the_cells.untidy();
    const bool untidy_blocks = pool_untidy();
    {
        // From here on the monitor does not relieve this thread: it runs no process.
        spin_guard g{w.driver_lock};
        if (w.driver.load(std::memory_order_relaxed) != &t) return;
    }
    if (t.searching) {
        t.searching = false;
        searching_.fetch_sub(1, std::memory_order_acq_rel);
    }
    const std::uint64_t bit = std::uint64_t{1} << w.index;
    const bool shared_work = workers_.size() > 1;
    idle_.fetch_or(bit, std::memory_order_seq_cst);
    look_after_write();
    std::int64_t timeout = 0;
    if (shared_.looks_empty() && w.queue.looks_empty() && !(shared_work && anything_ready()) &&
        !threads_may_end_.load(std::memory_order_acquire)) {
        const std::int64_t time = now();
        std::int64_t until = w.timers.sleep(time);
        if (untidy_cells) until = std::min(until, t.tidies_cells_at);
        if (untidy_blocks) until = std::min(until, t.tidies_blocks_at);
        timeout = until == timer_wheel::never ? -1 : std::max<std::int64_t>(0, until - time);
    }
    w.poll.poll(timeout);
    w.timers.awake();
    if (!(idle_.fetch_and(~bit, std::memory_order_seq_cst) & bit)) t.searching = true; // chosen by notify_one
    monitor_->somebody_woke();
    if (w.timers.next_event() != timer_wheel::never) w.timers.expire(now());
    if ((untidy_cells || untidy_blocks) && !t.searching && w.queue.looks_empty() && shared_.looks_empty())
        tidy(t);
}

// ---- running a process

namespace {

/// The end of a run, as the monitor sees it.
struct defer_end {
    thread_state& t;
    std::uint64_t number;
    ~defer_end() {
        t.running.store(nullptr, std::memory_order_relaxed);
        t.run_number.store(number, std::memory_order_release);
    }
};

} // namespace

// The process is ready, and this thread's. Runs it until it parks, yields or ends.
void runtime_core::run(thread_state& t, process& p) {
    t.run_frame = __builtin_frame_address(0);
    t.running.store(&p, std::memory_order_relaxed);
    // release: whoever sees the number sees the process that it belongs to
    const std::uint64_t number = t.run_number.load(std::memory_order_relaxed) + 1;
    t.run_number.store(number, std::memory_order_release);
    const defer_end at_the_end{t, number + 1};
    unsigned transfers = 0;
    for (;;) {
        bool leaving = false; // it parks until the frames that a signal destroys may go
        if ((p.attention.load(std::memory_order_relaxed) & signal_waits) != 0) [[unlikely]] {
            const obeyed how = obey(p);
            if (how == obeyed::ends) break;
            leaving = how == obeyed::waits;
        }
        if (p.waiter && !leaving) {
            mail_waiter* w = std::exchange(p.waiter, nullptr);
            p.lends = false;
            w->over(*w, p); // false: it has begun another suspension, and asked says so
        }
        // Calls and returns between the process's coroutines.
        while (p.asked == parking::none) {
            const std::coroutine_handle<> h = std::exchange(p.resume_point, nullptr);
            h.resume();
            if (!p.resume_point) break;
            if (++transfers % transfers_before_yield == 0 && p.asked == parking::none)
                p.asked = parking::requeue;
        }
        if (!p.resume_point) {
            end(p);
            break;
        }
        const parking asked = p.asked;
        p.asked = parking::none;
        if (asked == parking::requeue) {
            // Not through the LIFO slot: the point is to let others go first.
            t.running.store(nullptr, std::memory_order_relaxed);
            make_ready(p, false);
            return;
        }
        spin_guard g{p.lock};
        if (!p.claimed) { // claimed: somebody writes into the awaiter; he will release us
            if ((p.killed || p.interrupted) && !leaving) continue; // to obey
            if (p.wake_pending) {
                p.wake_pending = false;
                continue;
            }
            if (asked != parking::park) {
                const bool any = asked == parking::mail;
                const std::uint8_t news = any ? user_news | system_news : system_news;
                if ((p.mailbox_news.load(std::memory_order_relaxed) & news) != 0) {
                    ++p.token; // the suspension has ended before it began: a timer beside it is late
                    p.reason = wake_reason::ready;
                    continue;
                }
                p.wants = any ? mail_wanted::any : mail_wanted::system_only;
            }
        }
        p.state.store(run_state::parked, std::memory_order_relaxed);
        break;
    }
}

// The root has returned, or thrown.
void runtime_core::end(process& p) {
    std::exception_ptr error = std::move(p.root.promise().error);
    exit_reason why = error ? exit_reason::from_exception(error) : exit_reason{};
    error = nullptr;
    p.root.destroy();
    drop_kept(p);
    bool report_it = true;
    {
        // A signal that came before the end goes before it: `exit(self(), r)` and a return end with r, as in Erlang.
        spin_guard g{p.lock};
        if (p.killed) {
            why = p.extras->kill_reason;
            report_it = !p.extras->killed_by_link;
        }
    }
    finish(p, std::move(why), report_it);
}

// A kill or an interrupt may wait.
runtime_core::obeyed runtime_core::obey(process& p) {
    scope* off = nullptr;
    bool killed;
    {
        spin_guard g{p.lock};
        killed = p.killed;
        if (!killed && !p.interrupted) return obeyed::goes_on;
    }
    // A process is suspended in one awaiter, the innermost: what is to be destroyed contains it.
    if (p.waiter && p.lends) {
        auto& w = static_cast<lending_waiter&>(*p.waiter);
        if (!w.may_leave(w, p)) return obeyed::waits;
    }
    {
        spin_guard g{p.lock};
        killed = p.killed;
        if (!killed && p.interrupted) {
            for (scope* s = p.extras->scopes; s; s = s->outer)
                if (s->is_called_off()) off = s; // the outermost one takes the others with it
            if (off) p.extras->scopes = off->outer;
            refresh_interrupt(p);
        }
        if (!killed && !off) return obeyed::goes_on;
        ++p.token; // whoever would wake the suspension that is to be destroyed comes too late
        p.wake_pending = false;
    }
    if (killed) {
        kill(p);
        return obeyed::ends;
    }
    p.waiter = nullptr;
    p.lends = false;
    p.asked = parking::none;
    off->destroy(*off);
    p.resume_point = off->parent;
    return obeyed::goes_on;
}

void runtime_core::kill(process& p) {
    p.waiter = nullptr;
    p.lends = false;
    p.root.destroy(); // with it all frames below, the innermost first
    drop_kept(p);
    exit_reason why;
    bool by_link;
    {
        spin_guard g{p.lock};
        why = p.extras->kill_reason;
        by_link = p.extras->killed_by_link;
    }
    finish(p, std::move(why), !by_link);
}

// ---- the simulation

bool runtime_core::step() {
    if (ready_.empty()) return false;
    const std::size_t i = random_() % ready_.size();
    process* p = ready_[i];
    ready_[i] = ready_.back();
    ready_.pop_back();
    run(simulation_thread(), *p);
    return true;
}

bool runtime_core::advance_clock() {
    timer_wheel& timers = workers_.front()->timers;
    const std::int64_t next = timers.sleep(virtual_now_);
    if (next == timer_wheel::never) return false;
    virtual_now_ = std::max(virtual_now_, next);
    timers.expire(virtual_now_);
    return true;
}

void runtime_core::run_simulated_for(std::int64_t length) {
    const std::int64_t end =
        later(time_point{duration{virtual_now_}}, duration{length}).time_since_epoch().count();
    for (;;) {
        while (step()) {
        }
        const std::int64_t next = workers_.front()->timers.sleep(virtual_now_);
        if (next > end || next == timer_wheel::never) break;
        advance_clock();
    }
    if (end != timer_wheel::never) virtual_now_ = std::max(virtual_now_, end);
}

} // namespace genever::detail
