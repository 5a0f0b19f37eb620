#include "crash_kinds.hpp"

#include <algorithm>
#include <limits>
#include <utility>

namespace genever::detail {

std::optional<std::uint64_t> crash_kinds::note(std::uint64_t key, std::int64_t now) {
    auto place = std::ranges::find(kinds_, key, &kind::key);
    if (place == kinds_.end()) {
        place = std::ranges::find_if(kinds_, [now](const kind& k) {
            return k.key == 0 || (k.counted == 0 && now - k.told_at >= interval);
        });
        if (place == kinds_.end()) {
            if (others_.counted++ == 0) others_.told_at = now;
            return {};
        }
        *place = {.key = key, .told_at = now, .counted = 0, .headline = {}};
        return 0;
    }
    if (now - place->told_at < interval) {
        ++place->counted;
        return {};
    }
    place->told_at = now;
    return std::exchange(place->counted, 0);
}

void crash_kinds::name(std::uint64_t key, std::string headline) {
    if (auto k = std::ranges::find(kinds_, key, &kind::key); k != kinds_.end())
        k->headline = std::move(headline);
}

std::int64_t crash_kinds::next_overdue() const noexcept {
    std::int64_t next = std::numeric_limits<std::int64_t>::max();
    const auto look = [&next](const kind& k) {
        if (k.counted != 0) next = std::min(next, k.told_at + interval);
    };
    std::ranges::for_each(kinds_, look);
    look(others_);
    return next;
}

std::optional<crash_kinds::overdue> crash_kinds::take_overdue(std::int64_t now) {
    const auto due = [now](const kind& k) { return k.counted != 0 && now - k.told_at >= interval; };
    auto k = std::ranges::find_if(kinds_, due);
    kind* found = k != kinds_.end() ? &*k : due(others_) ? &others_ : nullptr;
    if (!found) return {};
    found->told_at = now;
    return overdue{std::exchange(found->counted, 0), found->headline};
}

} // namespace genever::detail
