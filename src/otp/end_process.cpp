#include "end_process.hpp"

#include "system_wait.hpp"

#include <genever/runtime/process.hpp>
#include <genever/runtime/time.hpp>

namespace genever::detail {

// A link's exit signal comes before the monitor's down, so that no reason of an exit is lost.
task<process_end> end_process(pid p, exit_kind how, duration limit) {
    process_end end;
    const monitor_ref ref = monitor(p);
    exit(p, how);
    const time_point deadline = how == exit_kind::killed ? time_point::max() : later(now(), limit);
    message_ptr m = co_await system_wait{&is_down_of, &ref, deadline};
    if (!m) {
        end.late = true;
        exit(p, exit_kind::killed);
        message_ptr last = co_await system_wait{&is_down_of, &ref, time_point::max()};
        m = std::move(last);
    }
    end.why = value_in<down>(*m)->reason;
    if (message_ptr linked = take_system_message(*current_process(), &is_exit_of, &p))
        if (end.why == exit_kind::noproc) end.why = value_in<exit_signal>(*linked)->reason;
    co_return end;
}

} // namespace genever::detail
