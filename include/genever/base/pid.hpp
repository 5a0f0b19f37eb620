// The identity of a process: a value that never dangles.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

namespace genever {

/// Names one process for good: a slot and the generation of its use. When the process has ended the slot may
/// serve another one under a new generation, so an old pid matches nobody, and what is sent to it is dropped.
/// A plain value: copy it, keep it, send it to other threads.
class pid {
public:
    /// No process.
    constexpr pid() noexcept = default;
    constexpr pid(std::uint32_t slot, std::uint32_t generation) noexcept
        : slot_(slot), generation_(generation) {}

    constexpr std::uint32_t slot() const noexcept { return slot_; }
    constexpr std::uint32_t generation() const noexcept { return generation_; }
    /// Whether this names a process at all, living or dead.
    constexpr explicit operator bool() const noexcept { return generation_ != 0; }

    friend constexpr auto operator<=>(pid, pid) noexcept = default;

    constexpr std::uint64_t to_u64() const noexcept { return std::uint64_t{generation_} << 32 | slot_; }
    static constexpr pid from_u64(std::uint64_t v) noexcept {
        return {static_cast<std::uint32_t>(v), static_cast<std::uint32_t>(v >> 32)};
    }

private:
    std::uint32_t slot_ = 0;
    std::uint32_t generation_ = 0;
};

/// `<slot.generation>`, for logs and people.
std::string to_string(pid p);

} // namespace genever

template <>
struct std::hash<genever::pid> {
    std::size_t operator()(genever::pid p) const noexcept { return p.to_u64() * 0x9E3779B97F4A7C15ULL >> 7; }
};
