// Requests by client address, within a window of time: the supervised state of the service.
#pragma once

#include <genever/genever.hpp>

#include <cstdint>
#include <string>
#include <unordered_map>

namespace showcase {

struct rate_limiter : genever::gen_server<rate_limiter> {
    /// What a client may still do.
    struct decision {
        bool allowed;
        std::uint64_t remaining;
        genever::duration until_reset;
    };

    struct increment { // cast
        std::string ip;
    };
    struct get_count { // call
        std::string ip;
        using reply = std::uint64_t;
    };
    struct acquire { // call: counts the request if it is within the limit
        std::string ip;
        using reply = decision;
    };
    struct clients { // call: how many addresses are known
        using reply = std::uint64_t;
    };
    struct reset {}; // timer message
    struct crash {}; // cast

    rate_limiter(std::uint64_t limit, genever::duration window) : limit_(limit), window_(window) {}

    void init() {
        send_interval(window_, reset{});
        window_end_ = genever::now() + window_;
    }

    void handle(increment m) { ++counts_[std::move(m.ip)]; }

    std::uint64_t handle(const get_count& m) {
        auto i = counts_.find(m.ip);
        return i == counts_.end() ? 0 : i->second;
    }

    decision handle(acquire m) {
        std::uint64_t& count = counts_[std::move(m.ip)];
        const bool allowed = count < limit_;
        if (allowed) ++count;
        return {allowed, limit_ - std::min(count, limit_), window_end_ - genever::now()};
    }

    std::uint64_t handle(clients) { return counts_.size(); }

    void handle(reset) {
        counts_.clear();
        window_end_ = genever::now() + window_;
    }

    void handle(crash) { throw std::runtime_error("the rate limiter was asked to crash"); }

private:
    std::uint64_t limit_;
    genever::duration window_;
    genever::time_point window_end_;
    std::unordered_map<std::string, std::uint64_t> counts_;
};

} // namespace showcase
