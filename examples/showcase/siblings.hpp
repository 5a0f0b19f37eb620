// The rate limiter's stateful siblings: they keep their state when it crashes.
#pragma once

#include <genever/genever.hpp>

#include <cstdint>
#include <stdexcept>

namespace showcase {

/// How often `/hits` has been asked for.
struct hit_counter : genever::gen_server<hit_counter> {
    struct hit {};
    struct total {
        using reply = std::uint64_t;
    };
    struct crash {};

    void handle(hit) { ++hits_; }
    std::uint64_t handle(total) { return hits_; }
    void handle(crash) { throw std::runtime_error("the hit counter was asked to crash"); }

private:
    std::uint64_t hits_ = 0;
};

/// A background worker that does something every 100 ms: it counts.
struct heartbeat : genever::gen_server<heartbeat> {
    struct beat {};
    struct beats {
        using reply = std::uint64_t;
    };
    struct crash {};

    void init() { send_interval(std::chrono::milliseconds{100}, beat{}); }
    void handle(beat) { ++beats_; }
    std::uint64_t handle(beats) { return beats_; }
    void handle(crash) { throw std::runtime_error("the heartbeat was asked to crash"); }

private:
    std::uint64_t beats_ = 0;
};

} // namespace showcase
