// What the heart decides by the clock alone: whether a service hangs, and when it is started again.
#pragma once

#include <genever/base/clock.hpp>
#include <genever/otp/heart_options.hpp>

#include <optional>

namespace genever::detail {

/// When a service that has failed is started again.
class restart_policy {
public:
    explicit restart_policy(const heart_options& o) noexcept : options_(o) {}

    struct verdict {
        bool give_up = false;
        duration delay{}; // from its death
    };
    /// The service has failed. `up_for`: how long its tree had been up; none: it never was.
    verdict failed(std::optional<duration> up_for) noexcept;
    /// Another program takes its place: what the one before did counts no more.
    void forget() noexcept { quick_ = 0; }
    /// How many quick failures there were in a row, the last one included.
    unsigned quick_failures() const noexcept { return quick_; }

private:
    heart_options options_;
    unsigned quick_ = 0;
};

/// For how long a program that is to take over may go on starting when the one before it has been given up: nothing is served
/// meanwhile. `start_timeout`; without one, six times the longest back-off.
duration last_chance(const heart_options& o) noexcept;

/// Whether beats come often enough. Time in which nobody looked does not count: the whole process group may have been
/// stopped, or the machine was busy elsewhere.
class hang_watch {
public:
    /// From `now` on. It must be looked at, by `late`, at least every `look_every`.
    hang_watch(duration limit, time_point now) noexcept : limit_(limit), last_beat_(now), last_look_(now) {}

    void beat(time_point now) noexcept { last_beat_ = now; }
    /// Whether the last beat is too long ago. What has come in by `now` must have been told before.
    bool late(time_point now) noexcept;
    duration limit() const noexcept { return limit_; }
    /// How long a look may be put off.
    duration look_every() const noexcept { return limit_ == infinity ? infinity : limit_ / 4; }

private:
    duration limit_;
    time_point last_beat_;
    time_point last_look_;
};

} // namespace genever::detail
