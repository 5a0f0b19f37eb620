// What the runtime benchmarks share: how a body of work is timed, and how it says that it went wrong.
#pragma once

#include <genever/runtime/runtime.hpp>
#include <genever/runtime/task.hpp>

#include <cstdint>
#include <cstdio>
#include <stdexcept>
#include <string>

#include <unistd.h>

namespace bench {

/// Does `n` operations, checks what they gave, and leaves no process behind.
using body = genever::task<> (*)(std::int64_t n);

/// Registers NAME/workers:W for each W of 1 to `most_workers`. The body is called with `batch` once to warm up,
/// then until enough time has passed. It is timed from inside its process: neither the way in from the main thread nor the start of the
/// workers counts. The counter `ns` is nanoseconds an operation.
void add(const char* name, body work, std::int64_t batch, int most_workers = 2);
/// The same for what is to be timed once, in memory that the program has not used yet.
void add_once(const char* name, body work, std::int64_t n, int most_workers = 2);
/// A figure of the batch that runs now, beside its time: becomes a counter.
void note(const char* counter, double value);

/// Ends the benchmark as failed.
inline void check(bool holds, const char* what) {
    if (!holds) throw std::logic_error(std::string{"benchmark is wrong: "} + what);
}

/// How much of the program's memory is resident, in bytes.
inline std::int64_t resident_bytes() {
    long long size = 0;
    long long resident = 0;
    if (std::FILE* f = std::fopen("/proc/self/statm", "r")) {
        if (std::fscanf(f, "%lld %lld", &size, &resident) != 2) resident = 0;
        std::fclose(f);
    }
    check(resident > 0, "/proc/self/statm cannot be read");
    return resident * sysconf(_SC_PAGESIZE);
}

/// 0 + 1 + ... + (n - 1).
constexpr std::int64_t sum_below(std::int64_t n) { return n * (n - 1) / 2; }

// One for each file of benchmarks.
void add_spawn();
void add_messages();
void add_calls();
void add_channels();
void add_select();
void add_mutex();
void add_timers();
void add_yield();
void add_skynet();

} // namespace bench
