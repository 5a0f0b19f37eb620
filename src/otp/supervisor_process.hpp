// The process that runs a supervisor.
//
// A gen_server that traps exits. Between two messages every child is in one of these states:
//
//     start ok                      exit, to be restarted: start ok
//     ────────▶ running (pid) ◀──────────────────────────────┐
//                 │      └─────────── start fails ──▶ restarting ──▶ try_again, a cast to itself
//                 │      └─────────── back-off ─────▶ restarting ──▶ try_now, by a timer
//                 │ exit, not to be restarted; terminate_child
//                 ▼
//               down (neither): stays known unless temporary
//
// Of those that are restarting one has the try (`has_try`): the others were terminated for its restart, or come after it.
// Each try has a number, and a message with another one is of the past.
//
// While it starts or terminates a child it waits for that child alone: other exits and requests stay in the mailbox.
#pragma once

#include "restart_intensity.hpp"

#include <genever/base/log.hpp>
#include <genever/otp/gen_server.hpp>
#include <genever/otp/supervisor.hpp>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace genever::detail {

/// The text of the `shutdown` with which a supervisor gives up.
inline constexpr std::string_view reached_max_restart_intensity = "reached maximum restart intensity";

class supervisor_process : public gen_server<supervisor_process> {
public:
    struct children_reply {
        time_point started_at;
        std::vector<child_info> children;
    };
    struct which_children {
        using reply = children_reply;
    };
    struct count_children {
        using reply = child_counts;
    };
    struct start_child {
        child_spec spec;
        using reply = std::expected<genever::pid, child_error>;
    };
    struct terminate_child {
        std::string name;
        using reply = std::expected<void, child_error>;
    };
    struct restart_child {
        std::string name;
        using reply = std::expected<genever::pid, child_error>;
    };
    struct delete_child {
        std::string name;
        using reply = std::expected<void, child_error>;
    };
    /// Another restart: it counts.
    struct try_again {
        std::string name;
        std::uint64_t number;
    };
    /// The restart that was put off: it has been counted.
    struct try_now {
        std::string name;
        std::uint64_t number;
    };
    /// Nobody has the try any more: those that are left are started without.
    struct start_waiting {};

    supervisor_process(supervisor spec, std::string name);

    task<> init();
    task<> terminate(const exit_reason& why);
    task<> handle(exit_signal s);
    task<> handle(try_again m);
    task<> handle(try_now m);
    task<> handle(start_waiting);
    children_reply handle(which_children);
    child_counts handle(count_children);
    task<start_child::reply> handle(start_child m);
    task<terminate_child::reply> handle(terminate_child m);
    task<restart_child::reply> handle(restart_child m);
    delete_child::reply handle(delete_child m);

private:
    struct child_state {
        explicit child_state(child_spec s) : spec(std::move(s)) {}
        child_spec spec;
        genever::pid pid = {};
        bool restarting = false;
        bool has_try = false;
        bool started_before = false;
        unsigned failures = 0; // in a row
        std::uint64_t try_number = 0;
        timer_ref next_try;
        std::uint64_t restarts = 0;
        time_point started_at = {};
    };
    using child_list = std::vector<std::unique_ptr<child_state>>;

    task<std::optional<exit_reason>> start(child_state& c);
    enum class whom { all_that_are_down, those_that_wait };
    task<> start_from(std::size_t first, whom);
    task<> terminate(child_state& c);
    task<> terminate_from(std::size_t first, const child_state* but);
    bool parent_ends_it();
    task<> restart(child_state& c, const genever::pid old, const exit_reason* why);
    task<> start_again(child_state& c);
    duration delay_of(child_state& c) noexcept;
    void forget_or_keep(child_state& c);
    void consider_auto_shutdown(bool significant);
    void begin_try(child_state& c);
    void call_off(child_state& c) noexcept;
    void try_again_later(child_state& c);
    void put_off(child_state& c, duration d);
    void mark_waiting(std::size_t first) noexcept;
    child_state* whose_try(std::string_view name, std::uint64_t number) const noexcept;
    std::size_t first_concerned(const child_state& c) const noexcept;
    child_state* find(std::string_view name) const noexcept;
    std::size_t index_of(const child_state& c) const noexcept;
    void report(log::level l, std::string_view child, genever::pid p, std::string_view what,
                const exit_reason& why) const noexcept;

    supervisor spec_;
    std::string name_;
    child_list children_;
    std::unordered_map<genever::pid, child_state*> by_pid_;
    restart_intensity intensity_;
    time_point started_at_;
};

} // namespace genever::detail
