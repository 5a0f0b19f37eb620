// Writes crash and stall reports to the log, on a thread of its own: naming the functions of a stack takes long.
// The first time the program's debugging information is read (590 million instructions of the showcase, by callgrind): the thread gives
// way to those who serve.
#pragma once

#include "crash_kinds.hpp"
#include "thread_priority.hpp"

#include <genever/runtime/runtime.hpp>

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <mutex>
#include <optional>
#include <thread>
#include <variant>

namespace genever::detail {

/// Takes reports from the workers without making them wait for their text. When more come than can be written, those
/// that find the queue full are counted, and the count is reported. Started with the first report; ends, having
/// written everything, with the object.
class crash_reporter {
public:
    ~crash_reporter();
    /// Whether a crash of this kind is to be told whole now, and how many have been counted before it; the others are counted
    /// (see crash_kinds.hpp).
    std::optional<std::uint64_t> admit(std::uint64_t kind, std::int64_t now);
    void take(crash_report r, std::uint64_t kind);
    void take(stall_report r);

private:
    struct entry {
        std::variant<crash_report, stall_report> report;
        std::uint64_t kind = 0;
    };
    void push(entry e);
    void start_thread();
    void write_reports();
    void tell_overdue(std::unique_lock<std::mutex>& g, bool all);
    void tell_left_out(std::unique_lock<std::mutex>& g);

    static constexpr std::size_t most_waiting = 256;
    const int own_nice_ = own_nice();
    std::mutex lock_;
    std::condition_variable something_;
    std::deque<entry> waiting_;
    crash_kinds kinds_;
    std::size_t left_out_ = 0;
    std::int64_t told_left_out_at_ = 0;
    bool ending_ = false;
    std::thread thread_;
};

} // namespace genever::detail
