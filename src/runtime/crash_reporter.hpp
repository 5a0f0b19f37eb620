// Writes crash and stall reports to the log, on a thread of its own: naming the functions of a stack takes long.
#pragma once

#include <genever/runtime/runtime.hpp>

#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <variant>

namespace genever::detail {

/// Takes reports from the workers without making them wait for their text. When more come than can be written, those
/// that find the queue full are counted, and the count is reported. Started with the first report; ends, having
/// written everything, with the object.
class crash_reporter {
public:
    ~crash_reporter();
    void take(std::variant<crash_report, stall_report> r);

private:
    void write_reports();

    static constexpr std::size_t most_waiting = 256;
    std::mutex lock_;
    std::condition_variable something_;
    std::deque<std::variant<crash_report, stall_report>> waiting_;
    std::size_t left_out_ = 0;
    bool ending_ = false;
    std::thread thread_;
};

} // namespace genever::detail
