// Watches for workers that are stuck in one process: it hogs the core, or is blocked in a system call.
//
// At each look (every millisecond or two), for each worker:
//
//   - its thread has gone on to another process, or sleeps: nothing to do;
//   - it waits for a core itself: nothing that another thread could better;
//   - it runs the process that it ran a look ago, or is blocked in it: the monitor fetches the worker's events. If something
//     is ready, or a timer is due, an idle worker takes it; where there is none the worker gets another thread, and the
//     stuck one a lower priority the longer it computes;
//   - it has run that process for `report_after`: one report, with the process's label and stack.
//
// When all workers have slept for a while the monitor sleeps too, until one of them wakes (`somebody_woke`).
#pragma once

#include "thread_state.hpp"

#include <genever/runtime/runtime.hpp>

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

namespace genever::detail {

class monitor {
public:
    monitor(runtime_core& core, std::int64_t report_after, std::size_t most_stuck) noexcept;
    ~monitor() { stop(); }

    void start();
    void stop() noexcept;

    /// A worker has left its sleep. Cheap while the monitor is awake.
    void somebody_woke() noexcept {
        // seq_cst: pairs with the store in `watch`, see there
        if (asleep_.load(std::memory_order_seq_cst)) [[unlikely]]
            wake();
    }

    /// How often a worker was given another thread.
    std::uint64_t handovers() const noexcept { return handovers_.load(std::memory_order_relaxed); }

private:
    void watch() noexcept;
    bool wait_for_tick() noexcept;
    void wait_for_work() noexcept;
    void wake() noexcept;
    bool look(worker& w, std::int64_t now) noexcept;
    void relieve(worker& w, thread_state& stuck, std::uint64_t run) noexcept;
    void look_at_stuck(std::int64_t now) noexcept;
    void consider_report(thread_state& t, std::int64_t now, std::int64_t cpu) noexcept;
    void begin_report(thread_state& stuck, std::int64_t now, std::int64_t cpu) noexcept;
    void finish_report(bool in_system_call, stack_trace stack) noexcept;

    runtime_core& core_;
    const std::int64_t report_after_;
    const std::size_t most_stuck_;
    const int own_nice_;
    thread_state& me_;
    std::thread thread_;
    std::mutex lock_;
    std::condition_variable something_;
    bool stopping_ = false;
    std::atomic<bool> asleep_{false};
    std::atomic<std::uint64_t> handovers_{0};
    std::int64_t last_handover_ = 0;
    bool has_spares_ = false;
    std::vector<thread_state*> stuck_; // those that have lost their worker, and are still in the same run
    // The report that is being made: its thread may take a while to tell its stack.
    thread_state* asked_ = nullptr;
    std::uint64_t asked_run_ = 0;
    std::int64_t asked_at_ = 0;
    stall_report report_;
};

} // namespace genever::detail
