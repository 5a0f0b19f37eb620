// A program that is a supervision tree: `int main() { return genever::run(supervisor{...}); }`.
#pragma once

#include <genever/base/pid.hpp>
#include <genever/otp/heart_options.hpp>
#include <genever/otp/supervisor.hpp>
#include <genever/runtime/runtime.hpp>
#include <genever/runtime/task.hpp>

#include <functional>
#include <string>

namespace genever {

struct run_options {
    /// The top supervisor's name.
    std::string name = "root";
    /// 0: one for each core. The environment's GENEVER_WORKERS goes before it.
    unsigned workers = 0;
    /// As `runtime_options::io_uring`. GENEVER_IO_URING=0 in the environment turns it off, 1 on.
    bool io_uring = true;
    /// Empty: crash reports go to the log.
    crash_handler on_crash = {};
    /// Called in a process once the whole tree is up, with the top supervisor's pid. An exception ends the program. The
    /// service counts as ready (for the heart, for systemd) when it has returned.
    std::function<task<>(pid top)> on_started = {};
    /// A parent process that starts the program again when it has died. GENEVER_HEART=1 turns it on as well.
    heart_options heart = {};
};

/// Starts a runtime and, in it, the supervisor, and blocks until it has ended or SIGTERM or SIGINT comes, at which the
/// tree is shut down in order. A further SIGTERM changes nothing; a SIGINT during the shutdown (a second Ctrl-C) kills
/// everything, and one more ends the program by its default action.
///
/// Returns what main should: 0 after an orderly end; 1, and a line in the log says why, if the tree did not start, or
/// its top supervisor crashed, or gave up before a signal had come (giving up stops the children in order as well, so after
/// a signal it is as good an end as the one that was asked for); 130 when SIGINT killed it. To be called on the main thread, before other
/// threads exist, for they would take the signals. SIGPIPE is ignored from then on.
///
/// With a heart (`run_options::heart`, or GENEVER_HEART=1; docs/heart.md) the process that calls `run` becomes a tiny parent,
/// and the program runs anew, from the begin of `main`, as its child: `run` does not return in the former. The parent holds
/// the listening sockets, and starts the child again when that has died, exits with another code than 0, or hangs; SIGHUP to
/// it starts the program that is on disk now and drains the one before. Under systemd `run` speaks sd_notify (READY=1,
/// STOPPING=1, WATCHDOG=1) and takes passed sockets by their addresses, with a heart and without one.
int run(supervisor top, run_options options = {});

/// Whether `run` has been told by a signal to stop: true from that moment on, before any process has heard of it. Any
/// thread.
bool stop_requested() noexcept;

/// Whether the stop was requested because another instance of the program has taken over, with the same listening sockets
/// (SIGHUP to the heart): clients that come back are served. Any thread.
bool being_replaced() noexcept;

} // namespace genever
