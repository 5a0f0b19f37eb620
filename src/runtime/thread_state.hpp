// A thread that runs processes, as the scheduler and the monitor know it.
//
//     spare ──gets a worker──▶ driving ──the monitor gives its worker to another thread──▶ stuck ──its process parks or
//       ▲                       │                                                          ends──▶ retired (ends)
//       └──────── started ──────┴── the runtime ends ──▶ ended
//
// A stuck thread that computes is at a low priority for the rest of its life, since nothing but privileges could raise it
// again. It goes on with its one process, whose wake-ups, messages and spawns go to the queue of the worker that it drove; all of
// that is guarded by locks and no thread's own.
#pragma once

#include <genever/base/stack_trace.hpp>
#include <genever/runtime/detail/process.hpp>

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <sys/types.h>
#include <thread>

namespace genever::detail {

class runtime_core;
struct worker;

struct thread_state {
    explicit thread_state(runtime_core& c) noexcept : core(&c) {}
    thread_state(const thread_state&) = delete;

    runtime_core* const core;
    worker* w = nullptr; // set before the thread drives it, and kept

    // ---- the thread's own
    bool helper = false;  // it runs no processes: what it makes ready is others' to run
    bool outside = false; // the simulation's, while it runs a blocking call as if it were the pool's
    bool searching = false;
    unsigned tick =
        ~0U; // it looks at everything in its first round: the one before it may have been stuck for long
    unsigned slept_at = 0; // the tick when there was nothing left to do last
    unsigned lifo_streak = 0;
    // When it may give memory back next, should it have nothing else to do: cells, and blocks of the pool.
    std::int64_t tidies_cells_at = 0;
    std::int64_t tidies_blocks_at = 0;
    std::uint64_t random = 0x9E3779B97F4A7C15ULL;

    const void* run_frame = nullptr; // while it runs a process: the frame below which that one's own code is

    // ---- written by the thread only, read by all: no locked instruction is needed
    std::atomic<process*> running{nullptr};
    std::atomic<std::uint64_t> run_number{
        0}; // odd while a process runs; the monitor sees by it that one runs for long
    std::atomic<std::int64_t> born{0};
    std::atomic<std::int64_t> ended{0};

    // ---- for looking at a stuck thread; set before it drives a worker
    pid_t tid = 0;
    pthread_t handle{};
    const void* bottom_frame = nullptr; // of the loop that runs processes
    const void* stack_low = nullptr;    // the thread's own stack: a process may run on another one
    const void* stack_high = nullptr;

    // ---- the monitor's
    std::uint64_t seen_run = 0;
    std::int64_t seen_at = 0;
    std::int64_t seen_cpu = 0;
    int lowered_by = 0;               // its nice value, above the program's
    std::atomic<bool> lowered{false}; // read by the thread: what it starts would inherit that
    bool reported = false;
    std::atomic<bool> watched{false}; // it has lost its worker, and may not be joined yet

    // ---- the threads' owner's, under its lock (worker_threads.hpp)
    std::thread os_thread;
    bool finished = false;
};

/// The calling thread's part in a runtime, or null. Never inlined, see current_process.
thread_state* this_thread() noexcept;
/// Makes the calling thread a part of a runtime for a scope.
class enter_thread {
public:
    explicit enter_thread(thread_state& t) noexcept;
    ~enter_thread();

private:
    thread_state* before_;
};

} // namespace genever::detail
