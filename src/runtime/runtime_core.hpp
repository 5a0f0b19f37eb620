// The runtime's inside: workers, the threads that drive them, and what they share.
//
// A worker is a set of things to do: a run queue, a timer wheel, a poller. A thread drives one worker at a time. All
// of a worker is guarded by locks of its own and may be used by any thread, so that a worker can be taken from a
// thread that is stuck and given to another one.
//
// Looking for work (scheduler.cpp): own queue, shared queue, timers, other workers' queues, then sleep in the own
// poller. At most one sleeping worker at a time is woken to look for work (`searching_`); it wakes the next one when
// it has found some. A worker announces its sleep in `idle_` (seq_cst), looks once more at all queues, and only then
// sleeps; who makes a process ready pushes first and looks at `idle_` afterwards: one of the two sees the other.
#pragma once

#include "crash_reporter.hpp"
#include "fault_handler.hpp"
#include "monitor.hpp"
#include "poller.hpp"
#include "run_queue.hpp"
#include "send_batch.hpp"
#include "shared_label.hpp"
#include "thread_state.hpp"
#include "timer_wheel.hpp"
#include "worker_threads.hpp"

#include <genever/base/clock.hpp>
#include <genever/base/ordered_table.hpp>
#include <genever/base/pool.hpp>
#include <genever/runtime/process.hpp>
#include <genever/runtime/runtime.hpp>
#include <genever/runtime/time.hpp>
#include <genever/runtime/timeout.hpp>

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <shared_mutex>
#include <string>
#include <string_view>
#include <typeindex>
#include <typeinfo>
#include <unordered_map>
#include <vector>

namespace genever::detail {

class blocking_pool;

struct bounded_mailbox;
/// What ends an alias beside `unalias`: nothing, its first message, its monitor, or either of the two.
enum class alias_kind : std::uint8_t { explicit_unalias, reply, demonitor, reply_demonitor };
using alias_table = ordered_table<std::uint64_t, alias_kind>;

/// What few of those processes have that have extras. Under the process's lock, except where noted.
struct rare_extras : pooled {
    rare_extras() noexcept;
    ~rare_extras();
    ordered_table<std::uint64_t, pid> watchers;   // monitors on this process: ref -> who
    ordered_table<std::uint64_t, pid> monitoring; // the process's own: ref -> whom
    std::vector<std::string> names;
    std::unique_ptr<bounded_mailbox> bounded; // its owner alone makes and ends it
    std::unique_ptr<alias_table> aliases;     // made when first needed
};

/// What only some processes have: thousands of connections do, so it is small. Under the process's lock, except where noted.
struct process_extras : pooled {
    struct nothing {};
    ordered_table<pid, nothing> links;
    shared_label label;
    std::unique_ptr<rare_extras> rare; // made when first needed, and kept
    exit_reason kill_reason;
    // For a crash report. Set at birth, where there were spawn_options, and by the process itself.
    static constexpr std::int64_t unknown = -1;
    std::int64_t born_at = unknown;
    pid parent;
    const std::type_info* last_message = nullptr;
    struct scope* scopes = nullptr; // innermost first
    std::uint32_t scopes_entered = 0;
    bool born_linked = false; // to the parent
    bool quiet = false;
    bool killed_by_link = false;
};
static_assert(sizeof(process_extras) <= 96); // a size of the pool's

/// Under p's lock: p's extras, made when first needed.
process_extras& extras_of(process& p);
rare_extras& rare_extras_of(process& p);
/// The same where they are there already; else null.
inline rare_extras* existing_rare(const process& p) noexcept {
    return p.extras ? p.extras->rare.get() : nullptr;
}

/// The system's monotonic clock, in nanoseconds.
std::int64_t system_now() noexcept;

struct worker {
    worker(unsigned tick_shift, std::int64_t (*clock)() noexcept) : timers(tick_shift, clock) {}

    run_queue queue;
    timer_wheel timers;
    poller poll;
    send_batch sends;
    unsigned index = 0;
    // Set by the monitor while the worker is busy: a millisecond or two have passed, so look for what is ready outside.
    std::atomic<bool> look_outside{false};

    // Whose it is. Changed by the monitor under the lock; a thread goes to sleep here under the lock too, and never finds
    // out too late that it has been relieved. Elsewhere a late look does no harm: two threads may use a worker.
    spinlock driver_lock;
    std::atomic<thread_state*> driver{nullptr};
};

class runtime_core {
public:
    struct simulated {
        std::uint64_t seed;
    };
    explicit runtime_core(runtime_options options);
    runtime_core(simulated s, crash_handler on_crash);
    ~runtime_core();

    // ---- scheduling (scheduler.cpp)
    /// Makes a ready process run some time. `woken`: by the process that runs on this thread, hence next.
    void make_ready(process& p, bool woken) noexcept;
    void run(thread_state& t, process& p);
    /// One step of the simulation. False when nobody is ready.
    bool step();
    bool advance_clock();
    void run_simulated_for(std::int64_t length);
    std::int64_t now() const noexcept;

    // ---- processes (process.cpp)
    void born() noexcept;
    void finish(process& p, exit_reason reason, bool report_it) noexcept;
    void kill_all() noexcept;
    std::int64_t live() const noexcept;
    /// Under p's lock: whether p lives, here.
    bool is_home_of(const process& p) const noexcept {
        // acquire: pairs with the release of a birth, which takes no lock
        return p.state.load(std::memory_order_acquire) != run_state::dead && p.home == this;
    }
    /// Of a crash for this reason: `make()` gives the report if it is to be told whole.
    template <class Make>
    void report_crash(const exit_reason& why, std::string_view label, Make make) noexcept {
        try {
            const crash_admission a = admit_crash(why, label);
            if (a.told) tell(make(), a);
        } catch (...) {
            // A report that cannot be made (no memory, a handler that throws) must not become a second crash.
        }
    }
    void report(stall_report r) noexcept;

    runtime_stats stats();

    // ---- names (names.cpp)
    bool register_name(std::string_view name, pid p);
    bool unregister_name(std::string_view name, pid owner) noexcept;
    pid whereis(std::string_view name) const;

    /// What a room above keeps for each runtime: made when it is first asked for, gone with the runtime. Any thread.
    template <class T>
    T& attached() {
        const std::lock_guard g{attached_lock_};
        std::shared_ptr<void>& p = attached_[typeid(T)];
        if (!p) p = std::make_shared<T>();
        return *static_cast<T*>(p.get());
    }

    worker& spread() noexcept {
        return *workers_[next_worker_.fetch_add(1, std::memory_order_relaxed) % workers_.size()];
    }
    worker& any_worker() noexcept { return *workers_.front(); }
    void wake_worker(worker& w) noexcept { w.poll.interrupt(); }
    /// Not in a simulation.
    blocking_pool& blocking() noexcept { return *blocking_; }
    unsigned workers() const noexcept { return static_cast<unsigned>(workers_.size()); }
    bool is_simulated() const noexcept { return simulated_; }
    std::mt19937_64& random() noexcept { return random_; }
    thread_state& simulation_thread() noexcept { return *simulation_thread_; }

    // ---- for the monitor
    worker_threads& threads() noexcept { return threads_; }
    worker& worker_at(unsigned i) noexcept { return *workers_[i]; }
    /// Whether all workers have announced their sleep.
    bool all_sleep() const noexcept;
    /// Whether something is ready that only this worker, or anyone, will take.
    bool work_waits_for(const worker& w) const noexcept {
        return w.queue.length() != 0 || !shared_.looks_empty() || w.timers.has_pending() ||
               w.timers.next_event() <= now();
    }
    /// Whether anything is ready anywhere that may be stolen.
    bool anything_ready() const noexcept;
    /// Whether anything is ready anywhere, the slots that belong to their workers' running processes included.
    bool anything_left_behind() const noexcept;
    /// Wakes a sleeping worker to look for work. False when none sleeps.
    bool wake_idle_worker() noexcept;
    /// For threads that are none of the workers: counts births and deaths.
    std::atomic<std::int64_t> born_outside{0};

private:
    struct crash_admission {
        bool told = false;
        std::uint64_t kind = 0;
        std::uint64_t counted_before = 0;
    };
    crash_admission admit_crash(const exit_reason& why, std::string_view label);
    void tell(crash_report r, const crash_admission& a);
    void stop_threads() noexcept;
    void work(thread_state& t);
    process* next(thread_state& t);
    process* steal(thread_state& t);
    void sleep(thread_state& t);
    void tidy(thread_state& t) noexcept;
    void notify_one() noexcept;
    void stop_searching(thread_state& t) noexcept;
    enum class obeyed : std::uint8_t { goes_on, ends, waits };
    obeyed obey(process& p);
    void kill(process& p);
    void end(process& p);

    fault_handlers faults_; // first: before any thread, until after the last
    std::vector<std::unique_ptr<worker>> workers_;
    worker_threads threads_{*this, [this](thread_state& t) { work(t); }};
    thread_state* simulation_thread_ = nullptr;
    std::unique_ptr<monitor> monitor_; // none in a simulation
    run_queue shared_;
    alignas(64) std::atomic<std::uint64_t> idle_{0};
    std::atomic<unsigned> searching_{0};
    std::atomic<unsigned> next_worker_{0};
    std::atomic<bool> stopping_{false};
    std::atomic<bool> threads_may_end_{false};
    crash_handler on_crash_;
    stall_handler on_stall_;
    crash_reporter reporter_;

    struct name_hash {
        using is_transparent = void;
        std::size_t operator()(std::string_view s) const noexcept { return std::hash<std::string_view>{}(s); }
    };
    mutable std::shared_mutex names_lock_;
    std::unordered_map<std::string, pid, name_hash, std::equal_to<>> names_;
    std::mutex attached_lock_;
    std::map<std::type_index, std::shared_ptr<void>> attached_;

    // ---- simulation
    bool simulated_ = false;
    std::int64_t virtual_now_ = 0;
    std::mt19937_64 random_;
    std::vector<process*> ready_;

    std::unique_ptr<blocking_pool> blocking_; // last: its threads use what is above
};

/// The runtime in which the calling thread runs a process or is a worker; throws std::logic_error naming `what`.
runtime_core& require_core(const char* what);
/// Where the next descriptor is registered: the workers take turns, and a process follows its descriptors' events to
/// their worker.
poller& next_poller();

/// What the extras of a crashed process say for its report.
void complete(crash_report& r, const process_extras& x, std::int64_t now);
/// When the frames of a process have gone: destroys what its root was called with.
void drop_kept(process& p) noexcept;
/// Under p's lock: makes the flags say whether a scope that has been called off is still entered.
void refresh_interrupt(process& p) noexcept;
/// Under p's lock. True when p has to be pushed.
bool mark_killed(process& p, exit_reason reason, bool by_link);
std::vector<process_info> list_processes(const runtime_core& core);

/// Takes the reference of the wheel that the entry has left.
ref<timer_entry> hold_entry(timer_node& t) noexcept;
void fire_entry(ref<timer_entry> e);

} // namespace genever::detail
