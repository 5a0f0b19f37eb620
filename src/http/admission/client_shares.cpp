#include "http/admission/client_shares.hpp"

#include <algorithm>
#include <cmath>

namespace genever::http {

using namespace std::chrono_literals;

namespace {

constexpr duration half = 500ms;
// A share that is no smaller than this is an equal one: requests come at random.
constexpr double even = 0.8;

/// The finaliser of MurmurHash3 (A. Appleby, public domain).
std::uint64_t mix(std::uint64_t x) noexcept {
    x ^= x >> 33;
    x *= 0xff51afd7ed558ccdULL;
    x ^= x >> 33;
    x *= 0xc4ceb9fe1a85ec53ULL;
    return x ^ x >> 33;
}

/// How many there are when so many of `columns` cells have been taken (linear counting; K.-Y. Whang et al., 1990).
double clients_behind(std::size_t taken, std::size_t columns) noexcept {
    const double free = std::max(1.0, static_cast<double>(columns - taken));
    const auto all = static_cast<double>(columns);
    return std::max(1.0, -all * std::log(free / all));
}

} // namespace

std::size_t client_shares::column(client_key who, std::size_t row) const noexcept {
    return mix(who ^ mix(seed_ + row)) % columns;
}

// Under the lock.
void client_shares::turn(time_point now) noexcept {
    if (now - began_ < half) return;
    if (now - began_ < 2 * half)
        past_ = present_;
    else
        past_ = {};
    present_ = {};
    began_ = now;
}

void client_shares::note(client_key who, time_point now) noexcept {
    detail::spin_guard g{lock_};
    turn(now);
    for (std::size_t row = 0; row < rows; ++row) {
        std::uint32_t& cell = present_.cells[row][column(who, row)];
        if (row == 0 && cell == 0) ++present_.taken;
        if (cell != ~std::uint32_t{0}) ++cell;
    }
    ++present_.total;
}

double client_shares::share(client_key who, time_point now) noexcept {
    detail::spin_guard g{lock_};
    turn(now);
    std::uint64_t had = ~std::uint64_t{0};
    for (std::size_t row = 0; row < rows; ++row) {
        const std::size_t c = column(who, row);
        had = std::min(had, std::uint64_t{present_.cells[row][c]} + past_.cells[row][c]);
    }
    if (had == 0) return 1.0;
    // Among too many to be told apart nobody is blamed.
    if (std::max(present_.taken, past_.taken) > columns * 7 / 10) return 1.0;
    // Most clients are in both halves: the fuller one tells how many they are.
    const double clients = clients_behind(std::max(present_.taken, past_.taken), columns);
    const double equal = static_cast<double>(present_.total + past_.total) / clients;
    const double share = equal / static_cast<double>(had);
    return share >= even ? 1.0 : share;
}

} // namespace genever::http
