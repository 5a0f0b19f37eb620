// Who runs next: the workers' loop and the simulation's step.
#include "arena.hpp"
#include "runtime_core.hpp"

#include <genever/base/stack_trace.hpp>

#include <algorithm>
#include <bit>
#include <csignal>
#include <pthread.h>
#include <time.h>

namespace genever::detail {

namespace {

thread_local thread_state* here = nullptr;

// Prime, so that the checks do not fall into step with a program's own rhythm (as in Go's scheduler).
constexpr unsigned outside_every = 61;
constexpr unsigned timers_every = 8;
constexpr unsigned transfers_before_yield = 4096;

} // namespace

thread_state* this_thread() noexcept {
    asm volatile(""); // keeps the function from being taken for a pure one
    return here;
}

enter_thread::enter_thread(thread_state& t) noexcept : before_(here) { here = &t; }
enter_thread::~enter_thread() { here = before_; }

process* current_process() noexcept {
    thread_state* t = this_thread();
    return t ? t->running : nullptr;
}

bool may_continue_slowly(process& p) noexcept {
    if (p.operations % operations_before_yield == 0) return false;
    if ((p.attention.load(std::memory_order_relaxed) & signal_waits) != 0) return false;
    return !p.home->is_simulated() || p.home->random()() % 4 != 0;
}

std::int64_t runtime_core::now() const noexcept {
    if (simulated_) return virtual_now_;
    timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1'000'000'000LL + t.tv_nsec;
}

// ---- making ready

void push_ready(process& p) noexcept { p.home->make_ready(p, true); }

void runtime_core::make_ready(process& p, bool woken) noexcept {
    if (simulated_) {
        ready_.push_back(&p);
        return;
    }
    thread_state* t = this_thread();
    if (!t || t->core != this) {
        shared_.push(p);
        notify_one();
        return;
    }
    run_queue& q = t->w->queue;
    if (woken && t->running)
        q.push_lifo(p);
    else
        q.push(p);
    // What this thread runs next itself is nobody else's business.
    const std::size_t own = woken || !t->running ? 1 : 0;
    if (workers_.size() > 1 && q.length() > own) notify_one();
}

void runtime_core::notify_one() noexcept {
    // Both read-modify-writes on purpose: the one that comes later in the order of its variable has seen what
    // the other thread did before its own (see the head of runtime_core.hpp).
    if (idle_.fetch_or(0, std::memory_order_acq_rel) == 0) return;
    if (searching_.fetch_add(0, std::memory_order_acq_rel) != 0) return;
    unsigned none = 0;
    if (!searching_.compare_exchange_strong(none, 1, std::memory_order_acq_rel)) return;
    for (std::uint64_t idle = idle_.load(std::memory_order_acquire); idle != 0;) {
        const std::uint64_t bit = idle & (~idle + 1);
        if (idle_.fetch_and(~bit, std::memory_order_acq_rel) & bit) {
            workers_[static_cast<unsigned>(std::countr_zero(bit))]->poll.interrupt();
            return; // that worker searches in our name
        }
        idle = idle_.load(std::memory_order_acquire);
    }
    searching_.fetch_sub(1, std::memory_order_acq_rel);
}

void runtime_core::stop_searching(thread_state& t) noexcept {
    if (!t.searching) return;
    t.searching = false;
    if (searching_.fetch_sub(1, std::memory_order_acq_rel) == 1 && anything_ready()) notify_one();
}

bool runtime_core::anything_ready() const noexcept {
    if (!shared_.looks_empty()) return true;
    return std::ranges::any_of(workers_, [](const auto& w) { return w->queue.waiting() != 0; });
}

// ---- a worker's loop

namespace {

/// So that the first throw on this thread need not ask for them.
void keep_stack_bounds() noexcept {
    pthread_attr_t attributes;
    if (pthread_getattr_np(pthread_self(), &attributes) != 0) return;
    void* low = nullptr;
    std::size_t size = 0;
    if (pthread_attr_getstack(&attributes, &low, &size) == 0)
        set_thread_stack_bounds(low, static_cast<char*>(low) + size);
    pthread_attr_destroy(&attributes);
}

} // namespace

void runtime_core::start_threads() {
    // Signals are the main thread's: a worker that was interrupted by one would run its handler on a stack that
    // belongs to a process.
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    for (int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP}) sigdelset(&all, fault);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    try {
        for (auto& t : threads_) os_threads_.emplace_back([this, &t = *t] { work(t); });
    } catch (...) {
        pthread_sigmask(SIG_SETMASK, &before, nullptr);
        stop_threads();
        throw;
    }
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

void runtime_core::stop_threads() noexcept {
    threads_may_end_.store(true);
    for (auto& w : workers_) w->poll.interrupt();
    for (auto& t : os_threads_) t.join();
}

void runtime_core::work(thread_state& t) {
    enter_thread in{t};
    keep_stack_bounds();
    pthread_setname_np(pthread_self(), ("genever-" + std::to_string(t.w->index)).c_str());
    while (!threads_may_end_.load(std::memory_order_acquire)) {
        process* p = next(t);
        if (!p) p = steal(t);
        if (!p) {
            sleep(t);
            continue;
        }
        stop_searching(t);
        run(t, *p);
    }
}

process* runtime_core::next(thread_state& t) {
    worker& w = *t.w;
    ++t.tick;
    if (t.tick % outside_every == 0) {
        if (w.poll.watches()) w.poll.poll(0);
        if (process* p = shared_.pop(t.lifo_streak)) return p;
    }
    if (t.tick % timers_every == 0 && w.timers.next_event() != timer_wheel::never) w.timers.expire(now());
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
        if (other.timers.next_event() != timer_wheel::never) {
            if (time == 0) time = now();
            if (other.timers.next_event() <= time && other.timers.expire(time) != 0)
                if (process* p = t.w->queue.pop(t.lifo_streak)) return p;
        }
    }
    return nullptr;
}

void runtime_core::sleep(thread_state& t) {
    worker& w = *t.w;
    if (t.searching) {
        t.searching = false;
        searching_.fetch_sub(1, std::memory_order_acq_rel);
    }
    const std::uint64_t bit = std::uint64_t{1} << w.index;
    const bool shared_work = workers_.size() > 1;
    idle_.fetch_or(bit, std::memory_order_acq_rel);
    std::int64_t timeout = 0;
    if (shared_.looks_empty() && !(shared_work && anything_ready()) &&
        !threads_may_end_.load(std::memory_order_acquire)) {
        const std::int64_t time = now();
        const std::int64_t until = w.timers.sleep(time);
        timeout = until == timer_wheel::never ? -1 : std::max<std::int64_t>(0, until - time);
    }
    w.poll.poll(timeout);
    w.timers.awake();
    if (!(idle_.fetch_and(~bit, std::memory_order_acq_rel) & bit)) t.searching = true; // chosen by notify_one
    if (w.timers.next_event() != timer_wheel::never) w.timers.expire(now());
}

// ---- running a process

// The process is ready, and this thread's. Runs it until it parks, yields or ends.
void runtime_core::run(thread_state& t, process& p) {
    t.running = &p;
    unsigned transfers = 0;
    for (;;) {
        if ((p.attention.load(std::memory_order_relaxed) & signal_waits) != 0) [[unlikely]] {
            if (obey(p)) break;
        }
        if (p.waiter) {
            mail_waiter* w = std::exchange(p.waiter, nullptr);
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
        const parking asked = std::exchange(p.asked, parking::none);
        if (asked == parking::requeue) {
            // Not through the LIFO slot: the point is to let others go first.
            t.running = nullptr;
            make_ready(p, false);
            return;
        }
        spin_guard g{p.lock};
        if (!p.claimed) { // claimed: somebody writes into the awaiter; he will release us
            if (p.killed || p.interrupted) continue; // to obey
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
    t.running = nullptr;
}

// The root has returned, or thrown.
void runtime_core::end(process& p) {
    std::exception_ptr error = std::move(p.root.promise().error);
    exit_reason why = error ? exit_reason::from_exception(error) : exit_reason{};
    error = nullptr;
    p.root.destroy();
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

// A kill or an interrupt may wait. True when the process has ended by it.
bool runtime_core::obey(process& p) {
    scope* off = nullptr;
    bool killed;
    {
        spin_guard g{p.lock};
        killed = p.killed;
        if (!killed && p.interrupted) {
            for (scope* s = p.extras->scopes; s; s = s->outer)
                if (s->called_off) off = s; // the outermost one takes the others with it
            if (off) p.extras->scopes = off->outer;
            refresh_interrupt(p);
        }
        if (!killed && !off) return false;
        ++p.token; // whoever would wake the suspension that is to be destroyed comes too late
        p.wake_pending = false;
    }
    if (killed) {
        kill(p);
        return true;
    }
    if (off) {
        p.waiter = nullptr;
        p.asked = parking::none;
        off->destroy(*off);
        p.resume_point = off->parent;
    }
    return false;
}

void runtime_core::kill(process& p) {
    p.waiter = nullptr;
    p.root.destroy(); // with it all frames below, the innermost first
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
