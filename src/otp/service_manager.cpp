#include "service_manager.hpp"

#include <algorithm>
#include <chrono>
#include <utility>

namespace genever::detail {

namespace {

using namespace std::chrono_literals;

constexpr duration say_again = 50ms;
constexpr std::size_t most_unsaid = 64;

bool is_status(const std::string& lines) noexcept { return lines.starts_with("STATUS="); }

} // namespace

service_manager::service_manager(const char* path, std::optional<duration> watchdog) noexcept
    : socket_(path), watchdog_(socket_ ? watchdog : std::nullopt) {}

void service_manager::tell(std::string lines) {
    if (!socket_) return;
    if (is_status(lines) && !unsaid_.empty() && is_status(unsaid_.back())) unsaid_.pop_back();
    if (unsaid_.size() == most_unsaid) unsaid_.pop_front(); // of long ago: those behind it say more
    unsaid_.push_back(std::move(lines));
    say_unsaid();
}

void service_manager::say_unsaid() noexcept {
    while (!unsaid_.empty() && socket_.offer(unsaid_.front())) unsaid_.pop_front();
}

// The beat first, where there is room for one message only: it is rare.
void service_manager::look(time_point now) noexcept {
    if (watchdog_ && now >= next_beat_)
        next_beat_ =
            now + (socket_.offer("WATCHDOG=1") ? *watchdog_ / 2 : std::min(say_again, *watchdog_ / 8));
    say_unsaid();
}

duration service_manager::look_again_in(time_point now) const noexcept {
    duration d = infinity;
    if (!unsaid_.empty()) d = say_again;
    if (watchdog_) d = std::min(d, std::max(next_beat_ - now, duration::zero()));
    return d;
}

} // namespace genever::detail
