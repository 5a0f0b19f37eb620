#include "worker_threads.hpp"

#include "runtime_core.hpp"
#include "stuck_stack.hpp"
#include "thread_priority.hpp"

#include <algorithm>
#include <csignal>
#include <pthread.h>
#include <string>
#include <sys/syscall.h>
#include <unistd.h>
#include <utility>

namespace genever::detail {

namespace {

/// For the monitor, and so that the first throw on this thread need not ask for them.
void keep_stack_bounds(thread_state& t) noexcept {
    pthread_attr_t attributes;
    if (pthread_getattr_np(pthread_self(), &attributes) != 0) return;
    void* low = nullptr;
    std::size_t size = 0;
    if (pthread_attr_getstack(&attributes, &low, &size) == 0) {
        t.stack_low = low;
        t.stack_high = static_cast<char*>(low) + size;
        set_thread_stack_bounds(t.stack_low, t.stack_high);
    }
    pthread_attr_destroy(&attributes);
}

/// Signals are the main thread's: a worker that was interrupted by one would run its handler on a stack that belongs to
/// a process. Its own faults, and the monitor's question where it is, are a thread's own.
class block_signals {
public:
    block_signals() noexcept {
        sigset_t all;
        sigfillset(&all);
        for (int own : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, stack_signal})
            sigdelset(&all, own);
        pthread_sigmask(SIG_SETMASK, &all, &before_);
    }
    ~block_signals() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

private:
    sigset_t before_;
};

} // namespace

worker_threads::worker_threads(runtime_core& core, std::function<void(thread_state&)> drive) noexcept
    : core_(core), drive_(std::move(drive)) {}

worker_threads::~worker_threads() { stop(); }

// Under the lock. Throws when there is no memory, or no thread.
worker_threads::entry* worker_threads::start(worker* w) {
    auto& e = *all_.emplace_back(std::make_unique<entry>(core_));
    e.random += started_++;
    e.w = w;
    e.spare = w == nullptr;
    if (w) w->driver.store(&e, std::memory_order_release);
    try {
        const block_signals blocked;
        e.os_thread = std::thread{[this, &e] { live(e); }};
    } catch (...) {
        all_.pop_back();
        throw;
    }
    if (e.spare) ++spares_;
    return &e;
}

void worker_threads::start_on(worker& w) {
    std::lock_guard g{lock_};
    start(&w);
}

std::size_t worker_threads::spares() const noexcept {
    std::lock_guard g{lock_};
    return spares_;
}

void worker_threads::live(entry& e) noexcept {
    keep_stack_bounds(e);
    e.handle = pthread_self();
    e.tid = static_cast<pid_t>(syscall(SYS_gettid));
    ask_to_be_prompt(0, own_nice());
    pthread_setname_np(pthread_self(), "genever-spare");
    {
        std::unique_lock g{lock_};
        assigned_.wait(g, [&] { return e.w != nullptr || stopping_ || !e.spare; });
    }
    if (e.w) {
        pthread_setname_np(pthread_self(), ("genever-" + std::to_string(e.w->index)).c_str());
        const enter_thread in{e};
        drive_(e);
    }
    std::lock_guard g{lock_};
    e.finished = true;
}

void worker_threads::keep_spares(std::size_t count) noexcept {
    std::list<std::unique_ptr<entry>> gone;
    {
        std::lock_guard g{lock_};
        try {
            while (spares_ < count) start(nullptr);
        } catch (...) {
            // No more threads: the stuck ones keep their workers waiting.
        }
        for (auto& e : all_) {
            if (spares_ <= count) break;
            if (!e->spare) continue;
            e->spare = false; // without a worker: it ends
            --spares_;
            assigned_.notify_all();
        }
        reap(gone);
    }
    for (auto& e : gone) e->os_thread.join();
}

// Under the lock: takes out those that have finished; their counts stay.
void worker_threads::reap(std::list<std::unique_ptr<entry>>& gone) noexcept {
    for (auto i = all_.begin(); i != all_.end();) {
        const auto at = i++;
        if (!(*at)->finished || (*at)->watched) continue;
        born_before_ += (*at)->born.load(std::memory_order_relaxed);
        ended_before_ += (*at)->ended.load(std::memory_order_relaxed);
        gone.splice(gone.end(), all_, at);
    }
}

void worker_threads::stop() noexcept {
    std::unique_lock g{lock_};
    stopping_ = true;
    for (auto& e : all_) e->spare = false;
    spares_ = 0;
    assigned_.notify_all();
    for (auto& e : all_) {
        if (!e->os_thread.joinable()) continue;
        std::thread t = std::move(e->os_thread);
        g.unlock(); // nobody adds or takes out threads any more
        t.join();
        g.lock();
    }
}

std::int64_t worker_threads::born() const noexcept {
    std::lock_guard g{lock_};
    std::int64_t n = born_before_;
    for (const auto& e : all_) n += e->born.load(std::memory_order_acquire);
    return n;
}

std::int64_t worker_threads::ended() const noexcept {
    std::lock_guard g{lock_};
    std::int64_t n = ended_before_;
    for (const auto& e : all_) n += e->ended.load(std::memory_order_acquire);
    return n;
}

thread_state& worker_threads::adopt() {
    std::lock_guard g{lock_};
    ++adopted_;
    return *all_.emplace_back(std::make_unique<entry>(core_));
}

bool worker_threads::a_stuck_one_runs(const process& p) const noexcept {
    const std::unique_lock g{lock_, std::try_to_lock};
    return g && std::ranges::any_of(all_, [&](const auto& e) {
               return e->watched.load(std::memory_order_relaxed) &&
                      e->running.load(std::memory_order_relaxed) == &p;
           });
}

std::size_t worker_threads::busy() const noexcept {
    std::lock_guard g{lock_};
    const auto gone = std::ranges::count_if(all_, [](const auto& e) { return e->finished; });
    return all_.size() - spares_ - adopted_ - static_cast<std::size_t>(gone);
}

} // namespace genever::detail
