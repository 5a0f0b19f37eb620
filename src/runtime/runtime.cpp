#include <genever/runtime/runtime.hpp>

#include "arena.hpp"
#include "blocking_pool.hpp"
#include "runtime_core.hpp"

#include <algorithm>
#include <sched.h>
#include <stdexcept>

namespace genever {

namespace detail {

namespace {

constexpr unsigned most_workers = 64;        // one bit each in runtime_core::idle_
constexpr unsigned real_tick_shift = 16;     // 65.5 us
constexpr unsigned simulated_tick_shift = 0; // to the nanosecond

unsigned usable_cores() noexcept {
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0)
        return static_cast<unsigned>(CPU_COUNT(&set));
    const unsigned n = std::thread::hardware_concurrency();
    return n ? n : 1;
}

} // namespace

runtime_core::runtime_core(runtime_options options)
    : on_crash_(std::move(options.on_crash)), on_stall_(std::move(options.on_stall)) {
    unsigned n = options.workers ? options.workers : usable_cores();
    if (n > most_workers) n = most_workers;
    for (unsigned i = 0; i < n; ++i) {
        auto& w = workers_.emplace_back(std::make_unique<worker>(real_tick_shift, &system_now));
        w->index = i;
        if (!options.io_uring) w->sends.turn_off();
    }
    blocking_ = std::make_unique<blocking_pool>(options.blocking_threads);
    monitor_ =
        std::make_unique<monitor>(*this, options.report_stall_after.count(), options.most_stuck_threads);
    try {
        for (auto& w : workers_) threads_.start_on(*w);
        monitor_->start();
    } catch (...) {
        stop_threads();
        throw;
    }
}

runtime_core::runtime_core(simulated s, crash_handler on_crash)
    : on_crash_(std::move(on_crash)), simulated_(true), random_(s.seed) {
    (void)stack_trace::current(); // the bounds of the stack are known then, should a process fault
    workers_.emplace_back(std::make_unique<worker>(simulated_tick_shift, nullptr));
    simulation_thread_ = &threads_.adopt();
    simulation_thread_->w = workers_.front().get();
}

runtime_core::~runtime_core() {
    if (simulated_) {
        enter_thread in{simulation_thread()};
        while (live() > 0) {
            kill_all();
            while (step()) {
            }
        }
        return;
    }
    blocking_->close();
    // A process that is being killed may, in a destructor, start another one.
    while (live() > 0) {
        kill_all();
        timespec moment{0, 1'000'000};
        nanosleep(&moment, nullptr);
    }
    stop_threads();
    blocking_->stop();
}

runtime_stats runtime_core::stats() {
    runtime_stats s;
    s.workers = workers();
    s.processes = static_cast<std::size_t>(std::max<std::int64_t>(0, live()));
    s.process_memory = the_cells.backed();
    s.handovers = monitor_ ? monitor_->handovers() : 0;
    s.threads = threads_.busy();
    std::int64_t late = 0;
    for (const auto& w : workers_) {
        const timer_wheel::counts c = w->timers.count();
        s.timers += c.armed;
        s.timers_fired += c.fired;
        late += c.late_in_all;
        s.sends_together += w->sends.sent_together();
        s.timer_lateness_max = std::max(s.timer_lateness_max, duration{c.latest});
    }
    if (s.timers_fired != 0)
        s.timer_lateness_mean = duration{late / static_cast<std::int64_t>(s.timers_fired)};
    return s;
}

void runtime_core::report(stall_report r) noexcept {
    try {
        if (on_stall_)
            on_stall_(r);
        else
            reporter_.take(std::move(r));
    } catch (...) {
        // As above.
    }
}

} // namespace detail

runtime::runtime(runtime_options options)
    : core_(std::make_unique<detail::runtime_core>(std::move(options))) {}
runtime::~runtime() = default;

std::vector<process_info> runtime::process_list() const { return detail::list_processes(*core_); }
unsigned runtime::workers() const noexcept { return core_->workers(); }
runtime_stats runtime::stats() const { return core_->stats(); }
runtime_stats stats() { return detail::require_core("stats").stats(); }

exit_reason runtime::wait(pid p) {
    auto end = std::make_shared<detail::end_slot>();
    detail::spawn_on(core_.get(), &detail::quiet_options,
                     [teller = detail::end_teller{end}, p]() mutable -> task<> {
                         monitor(p);
                         exit_reason why = co_await receive([](const down& d) { return d.reason; });
                         teller.tell(std::move(why));
                     });
    return end->wait();
}

namespace detail {

void end_slot::set(exit_reason why) {
    std::lock_guard g{lock_};
    if (reason_) return;
    reason_ = std::move(why);
    told_.notify_all();
}
bool end_slot::is_set() const {
    std::lock_guard g{lock_};
    return reason_.has_value();
}
exit_reason end_slot::wait() {
    std::unique_lock g{lock_};
    told_.wait(g, [&] { return reason_.has_value(); });
    return *reason_;
}

void throw_unless_normal(const exit_reason& why) {
    if (why == exit_kind::normal) return;
    if (auto e = why.exception()) std::rethrow_exception(e);
    throw std::runtime_error("genever: the process did not return: " + to_string(why));
}

} // namespace detail

} // namespace genever
