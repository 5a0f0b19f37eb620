// The heart: a tiny parent process that holds the listening sockets and starts the service again when it has died.
#pragma once

#include <genever/base/clock.hpp>

#include <chrono>

namespace genever {

/// How `run` puts a heart in front of the service (docs/heart.md). Each setting has a variable of the environment that goes
/// before it: GENEVER_HEART=1 or 0; GENEVER_HEART_HANG_MS, GENEVER_HEART_START_MS, GENEVER_HEART_QUICK_MS,
/// GENEVER_HEART_BACKOFF_MS, GENEVER_HEART_MOST_BACKOFF_MS in milliseconds, where 0 means `infinity` for the first two;
/// GENEVER_HEART_GIVE_UP.
struct heart_options {
    bool enabled = false;
    /// The service must show within this time that its workers make progress, or it is killed and started again. `infinity`:
    /// hangs are not looked for (a debugger looks like one).
    duration hang_timeout = std::chrono::seconds{10};
    /// From the start of a service to its tree's being up, `run_options::on_started` included; then it is killed.
    duration start_timeout = std::chrono::seconds{60};
    /// A failure before the tree is up, or so soon after, is a quick one.
    duration quick_failure = std::chrono::seconds{1};
    /// A restart is immediate, but for those after a second quick failure in a row and on: they wait this long, and each
    /// further one twice as long as the one before, up to `max_backoff`.
    duration backoff = std::chrono::milliseconds{100};
    duration max_backoff = std::chrono::seconds{10};
    /// After so many quick failures in a row there is no restart: the heart ends with the last one's exit code. 0: it
    /// never gives up.
    unsigned give_up_after = 10;
};

} // namespace genever
