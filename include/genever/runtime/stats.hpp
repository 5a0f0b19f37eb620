// What a runtime counts about itself.
#pragma once

#include <genever/base/clock.hpp>

#include <cstddef>
#include <cstdint>

namespace genever {

/// Counts of one runtime since its start, as far as not said otherwise. Each is right by itself; they are not taken at one
/// moment.
struct runtime_stats {
    unsigned workers = 0;
    /// Living processes, at the moment.
    std::size_t processes = 0;
    /// Memory behind the control blocks of all runtimes of the program, at the moment; bytes.
    std::size_t process_memory = 0;

    /// How often a worker was taken from a thread that was stuck in one process.
    std::uint64_t handovers = 0;
    /// Threads that drive a worker or are stuck, at the moment.
    std::size_t threads = 0;

    /// Armed timers, at the moment: of sleeps, timeouts and messages.
    std::size_t timers = 0;
    std::uint64_t timers_fired = 0;
    /// How much later than their tick of 65.5 us timers fired: because their worker was busy, or its core was.
    duration timer_lateness_mean{};
    duration timer_lateness_max{};

    /// Sends that were posted (runtime/posted_send.hpp) and went to the system two or more at a time.
    std::uint64_t sends_together = 0;
};

/// The counts of the calling process's runtime. Throws std::logic_error outside of one. Takes a few microseconds.
runtime_stats stats();

} // namespace genever
