// What can be seen of processes from outside.
#pragma once

#include <genever/base/pid.hpp>
#include <genever/runtime/mailbox_limit.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace genever {

enum class process_state : std::uint8_t {
    running, ///< it runs on its worker's thread; one that hogs a thread without a worker is shown as `ready`
    ready,   ///< it would run if it had one
    parked,  ///< it waits for something
};

std::string_view to_string(process_state s) noexcept;

/// What is known of a living process. A snapshot, true for one moment, which may be past when it is read.
struct process_info {
    genever::pid pid;
    std::string label;
    std::vector<std::string> names;
    process_state state = process_state::ready;
    bool trap_exit = false;
    /// Whether its crash is somebody else's to report: its supervisor's.
    bool quiet = false;
    /// Messages of the user lane that have been sent to it and that it has not received yet.
    std::size_t mailbox_length = 0;
    mailbox_limit mailbox = {};
    /// How many messages that limit has cost: refused, or dropped.
    std::uint64_t mailbox_lost = 0;
    /// How many messages wait outside for room.
    std::size_t senders_waiting = 0;
    /// How often it has awaited something, as Erlang counts reductions. Begins again at 2^32.
    std::uint32_t reductions = 0;
    /// Bytes that it certainly takes: its cell (with its first frame, if that fits) and what the runtime notes of it. Larger
    /// frames and the messages come on top.
    std::size_t memory = 0;
    std::vector<genever::pid> links;
    std::vector<genever::pid> monitors;     ///< whom it monitors, once for each monitor
    std::vector<genever::pid> monitored_by; ///< who monitors it, once for each monitor
    /// While it is parked: the code of the innermost coroutine that waits.
    const void* suspended_in = nullptr;

    /// That coroutine's function and the line at which it begins, `shop::checkout(int) at shop.cpp:12`; empty unless it was
    /// parked. Reads the program's debug information, which takes long the first time (see `symbolise`).
    std::string suspension_point() const;
};

/// A snapshot of a living process, of whatever runtime, or nothing. Any thread, at any time.
std::optional<process_info> info(pid p);
/// All living processes of this runtime, by slot. Takes time in proportion to the most that ever lived. Throws
/// std::logic_error outside of a runtime.
std::vector<pid> processes();
/// The same with what is known of each, one by one: what is true of one may not be any more when the next is looked at.
/// Other threads use `runtime::process_list`.
std::vector<process_info> process_list();

} // namespace genever
