// Which crashes are told whole, and which are only counted: a storm of crashes shall not become a storm of reports.
//
// Crashes are of one kind when the same exception was thrown at the same place. The first of a kind is reported; those that
// follow within `interval` are counted. The next one after that is reported with the count; where none comes, the count is told by
// itself. A kind that has been quiet for as long gives its place to another when all places are taken; when none is
// quiet, what comes is counted as "others".
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

namespace genever::detail {

/// Plain data: its owner's lock guards it. Times in nanoseconds.
class crash_kinds {
public:
    static constexpr std::int64_t interval = 1'000'000'000;
    static constexpr std::size_t most = 64;

    /// A crash of the kind `key` (not 0). Its count of those before if it is to be reported; nothing: it has been counted.
    std::optional<std::uint64_t> note(std::uint64_t key, std::int64_t now);
    /// What the kind is called where its count is told.
    void name(std::uint64_t key, std::string headline);

    /// When `take_overdue` next has something to say; the largest number: never.
    std::int64_t next_overdue() const noexcept;
    struct overdue {
        std::uint64_t count = 0;
        std::string headline; // empty: of kinds that are not known
    };
    /// A kind whose count has waited for the interval and longer; starts it anew.
    std::optional<overdue> take_overdue(std::int64_t now);

private:
    struct kind {
        std::uint64_t key = 0; // 0: a free place
        std::int64_t told_at = 0;
        std::uint64_t counted = 0;
        std::string headline;
    };
    std::array<kind, most> kinds_;
    kind others_;
};

} // namespace genever::detail
