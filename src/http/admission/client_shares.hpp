// Which clients have had more than their share lately, in memory of a fixed size.
#pragma once

#include <genever/base/clock.hpp>
#include <genever/base/spinlock.hpp>

#include <array>
#include <cstddef>
#include <cstdint>

namespace genever::http {

/// Who is counted as one client: an IPv4 address, or the network of 64 bits that an IPv6 client can choose its addresses
/// from. Never ambiguous.
using client_key = std::uint64_t;

/// What each client was given within the last second, by a count-min sketch (G. Cormode, S. Muthukrishnan: An improved
/// data stream summary, J. Algorithms 55, 2005) over two half-seconds. A client may look busier than it is when it shares
/// all its cells with busy ones, never less busy; where there are more than about a thousand clients, nobody is told apart; the cells are chosen by a seed that clients do not know. Safe on all threads.
class client_shares {
public:
    explicit client_shares(std::uint64_t seed) noexcept : seed_(seed) {}

    /// Notes that `who` was served. Of the time `now` only differences matter.
    void note(client_key who, time_point now) noexcept;
    /// An equal share of what was served, over what `who` has had: 1 for whoever has had no more than that, or not much more.
    double share(client_key who, time_point now) noexcept;

private:
    static constexpr std::size_t rows = 4;
    static constexpr std::size_t columns = 1024;
    struct period {
        std::array<std::array<std::uint32_t, columns>, rows> cells{};
        std::uint64_t total = 0;
        std::size_t taken = 0; // of the first row
    };

    std::size_t column(client_key who, std::size_t row) const noexcept;
    void turn(time_point now) noexcept;

    detail::spinlock lock_;
    const std::uint64_t seed_;
    time_point began_{};
    period present_;
    period past_;
};

} // namespace genever::http
