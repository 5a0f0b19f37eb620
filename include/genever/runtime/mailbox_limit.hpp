// How many messages a mailbox takes, and what becomes of a message that is sent.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <string_view>

namespace genever {

/// What happens to a message that comes to a full mailbox.
enum class mailbox_policy : std::uint8_t {
    reject,      ///< it is not taken; who sends it is told (`send_result::full`)
    drop_oldest, ///< it is taken, and the message that has lain there longest is dropped
    drop_newest, ///< it is dropped (`send_result::dropped`)
    wait,        ///< who can, waits for room: a `call`, a `send_wait`; for a plain `send`, as `reject`
};

/// Limits the user lane of a mailbox: the messages that have been sent and not been received yet. The system lane (exits,
/// downs, start and stop of servers) takes everything, always, and is received first.
struct mailbox_limit {
    static constexpr std::size_t unlimited = std::numeric_limits<std::size_t>::max();

    /// At least 1; from 2^31 on it stands for `unlimited`.
    std::size_t capacity = unlimited;
    mailbox_policy policy = mailbox_policy::reject;

    friend bool operator==(mailbox_limit, mailbox_limit) noexcept = default;
};

/// What has become of a message. Converts to bool: whether it is in the receiver's mailbox.
class send_result {
public:
    static const send_result
        delivered; ///< it is in the mailbox; the process may still end before it receives it
    static const send_result noproc;   ///< nobody lives under that pid: it was dropped
    static const send_result inactive; ///< the alias is not active (any more): it was dropped
    static const send_result full;     ///< the mailbox is full and has not taken it: it was dropped
    static const send_result dropped;  ///< the same, under `drop_newest`

    // NOLINTNEXTLINE(google-explicit-constructor): most only ask whether it has arrived
    constexpr operator bool() const noexcept { return what_ == what::delivered; }
    friend constexpr bool operator==(send_result, send_result) noexcept = default;
    friend constexpr std::string_view to_string(send_result r) noexcept {
        switch (r.what_) {
        case what::delivered: return "delivered";
        case what::noproc: return "no such process";
        case what::inactive: return "the alias is not active";
        case what::full: return "the mailbox is full";
        case what::dropped: return "dropped by a full mailbox";
        }
        return "unknown";
    }

private:
    enum class what : std::uint8_t { delivered, noproc, inactive, full, dropped };
    constexpr explicit send_result(what w) noexcept : what_(w) {}

    what what_;
};

inline constexpr send_result send_result::delivered{what::delivered};
inline constexpr send_result send_result::noproc{what::noproc};
inline constexpr send_result send_result::inactive{what::inactive};
inline constexpr send_result send_result::full{what::full};
inline constexpr send_result send_result::dropped{what::dropped};

} // namespace genever
