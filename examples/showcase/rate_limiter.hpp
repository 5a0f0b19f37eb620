// Requests by client address, within a window of time: the supervised state of the service.
#pragma once

#include <genever/genever.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <unordered_map>
#include <utility>

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
    struct get_count { // call: how often it has been incremented
        std::string ip;
        using reply = std::uint64_t;
    };
    struct
        acquire { // call: counts the request if it is within the limit; not mixed with what `increment` counts
        std::string ip;
        using reply = decision;
    };
    struct clients { // call: how many addresses are known, by either count
        using reply = std::uint64_t;
    };
    struct reset {}; // timer message
    struct crash {}; // cast

    /// For each count, how many addresses have one of their own; in a window, those beyond share one.
    static constexpr std::size_t most_addresses = 100'000;

    rate_limiter(std::uint64_t limit, genever::duration window, std::size_t most = most_addresses)
        : limit_(limit), window_(window), hits_(most), acquired_(most) {}

    void init() {
        send_interval(window_, reset{});
        window_end_ = genever::now() + window_;
    }

    void handle(increment m) { ++hits_.of(std::move(m.ip)); }
    std::uint64_t handle(const get_count& m) { return hits_.look(m.ip); }

    decision handle(acquire m) {
        std::uint64_t& count = acquired_.of(std::move(m.ip));
        const bool allowed = count < limit_;
        if (allowed) ++count;
        return {allowed, limit_ - std::min(count, limit_), window_end_ - genever::now()};
    }

    std::uint64_t handle(clients) { return hits_.size() + acquired_.size(); }

    void handle(reset) {
        hits_.clear();
        acquired_.clear();
        window_end_ = genever::now() + window_;
    }

    void handle(crash) { throw std::runtime_error("the rate limiter was asked to crash"); }

private:
    /// Counts by address. Whoever sends requests chooses the addresses, so they are bounded.
    class counts {
    public:
        explicit counts(std::size_t most) : most_(most) {}

        std::uint64_t& of(std::string address) {
            if (by_address_.size() < most_) return by_address_[std::move(address)];
            const auto known = by_address_.find(address);
            return known == by_address_.end() ? others_ : known->second;
        }
        std::uint64_t look(const std::string& address) const {
            const auto known = by_address_.find(address);
            if (known != by_address_.end()) return known->second;
            return by_address_.size() < most_ ? 0 : others_;
        }
        std::size_t size() const noexcept { return by_address_.size(); }
        void clear() noexcept {
            by_address_.clear();
            others_ = 0;
        }

    private:
        std::unordered_map<std::string, std::uint64_t> by_address_;
        std::size_t most_;
        std::uint64_t others_ = 0;
    };

    std::uint64_t limit_;
    genever::duration window_;
    genever::time_point window_end_;
    counts hits_;
    counts acquired_;
};

} // namespace showcase
