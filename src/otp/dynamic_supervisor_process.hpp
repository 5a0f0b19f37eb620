// The process that runs a dynamic supervisor.
//
// A gen_server that traps exits. A child is in the table under its pid while it runs, and, after a failed restart, under the
// pid that it had, until the next try (`try_again`, a cast to itself).
//
// Exits are taken from the mailbox in bulk before a child is started: the start waits for its child by a selective receive,
// which would look at each of them again. Those that were there are settled at once; those that have come meanwhile wait for
// a cast to itself (`settle_more`), behind the requests that were there first: the system lane, of which exits are, is served
// before the user lane, and where exits keep coming nobody would ever be answered. Two do not wait: the parent's exit, and,
// where a start finds no place, the exits of children that are not started again.
#pragma once

#include "restart_intensity.hpp"
#include "supervisor_process.hpp"

#include <genever/base/log.hpp>
#include <genever/base/ordered_table.hpp>
#include <genever/otp/dynamic_supervisor.hpp>
#include <genever/otp/gen_server.hpp>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <expected>
#include <memory>
#include <string>
#include <string_view>

namespace genever::detail {

class dynamic_supervisor_process : public gen_server<dynamic_supervisor_process> {
public:
    struct which_children {
        using reply = supervisor_process::children_reply;
    };
    struct count_children {
        using reply = child_counts;
    };
    struct start_child {
        child_spec spec;
        using reply = std::expected<genever::pid, child_error>;
    };
    struct terminate_child {
        genever::pid pid;
        using reply = std::expected<void, child_error>;
    };
    struct try_again {
        genever::pid old;
    };
    struct settle_more {};

    dynamic_supervisor_process(dynamic_supervisor spec, std::string name);

    void init();
    task<> terminate(const exit_reason& why);
    task<> handle(exit_signal s);
    task<> handle(try_again m);
    task<> handle(settle_more);
    which_children::reply handle(which_children);
    child_counts handle(count_children);
    task<start_child::reply> handle(start_child m);
    task<terminate_child::reply> handle(terminate_child m);

private:
    struct child_state {
        explicit child_state(child_spec s) : spec(std::move(s)) {}
        child_spec spec;
        bool restarting = false;
        std::uint64_t restarts = 0;
        time_point started_at = {};
    };
    using child_ptr = std::unique_ptr<child_state>;

    task<start_result> start(child_state& c);
    void take_exits();
    void settle_those_that_stay_gone();
    static bool is_restarted(const child_state& c, const exit_reason& why) noexcept;
    void forget(const child_state& c, const exit_signal& s);
    task<> settle_those_there();
    task<> settle(exit_signal s);
    task<> restart(genever::pid old, const exit_reason* why);
    void report_end(const child_state& c, genever::pid p, const exit_reason& why, bool late) const noexcept;
    void report(log::level l, std::string_view child, genever::pid p, std::string_view what,
                const exit_reason& why) const noexcept;

    dynamic_supervisor spec_;
    std::string name_;
    ordered_table<genever::pid, child_ptr> children_;
    std::size_t restarting_ = 0;
    std::deque<exit_signal> exits_; // taken from the mailbox and not settled yet
    bool more_is_due_ = false;      // a settle_more is on its way
    restart_intensity intensity_;
    time_point started_at_;
};

/// What `which_children` of a supervisor gives, asked of a dynamic one; for the snapshot of a tree.
task<std::expected<supervisor_process::children_reply, call_error>> children_of_dynamic(pid p,
                                                                                        duration timeout);

} // namespace genever::detail
