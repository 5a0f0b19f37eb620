// Aliases: addresses of a process that can be taken back, so that a late reply never reaches its mailbox.
#pragma once

#include <genever/base/pid.hpp>
#include <genever/runtime/mailbox_limit.hpp>
#include <genever/runtime/message.hpp>
#include <genever/runtime/process.hpp>

#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <type_traits>
#include <utility>

namespace genever {

/// One address of a process, as Erlang's alias/1: what is sent to it reaches the process while it is active. A plain
/// value, never used again for another one: copy it, keep it, send it to others.
class alias {
public:
    /// No alias.
    constexpr alias() noexcept = default;
    constexpr alias(genever::pid owner, std::uint64_t number) noexcept : owner_(owner), number_(number) {}

    /// Whose it is or was.
    constexpr genever::pid owner() const noexcept { return owner_; }
    constexpr std::uint64_t number() const noexcept { return number_; }
    constexpr explicit operator bool() const noexcept { return number_ != 0; }

    friend constexpr auto operator<=>(alias, alias) noexcept = default;

private:
    genever::pid owner_;
    std::uint64_t number_ = 0;
};

/// What ends an alias, beside `unalias` and the end of its process.
enum class alias_mode : std::uint8_t {
    explicit_unalias, ///< nothing
    reply,            ///< the first message that is delivered through it
};
/// The same of an alias that belongs to a monitor.
enum class monitor_alias : std::uint8_t {
    explicit_unalias, ///< nothing: it outlives the monitor
    demonitor,        ///< the end of the monitor: `demonitor`, or its `down`
    reply_demonitor,  ///< that, or the first message that is delivered through it, which ends the monitor too
};

struct alias_options {
    alias_mode mode = alias_mode::explicit_unalias;
};

/// Makes an active alias of the calling process. Takes constant time, as all operations on aliases do.
///
///     const alias reply_to = make_alias({alias_mode::reply});
///     send(other, question{reply_to});
///     auto r = co_await receive([](answer a) { ... }, after(1s, [&] { unalias(reply_to); ... }));
alias make_alias(alias_options options = {});
/// Ends an alias of the calling process: from the return on nothing comes through it. What is in the mailbox already
/// stays. False when it was not active (any more), or is another process's.
bool unalias(alias a);

/// Monitors as `monitor(other)` does, and makes an alias that lives with the monitor: for a request whose answer, or whose
/// receiver's end, is awaited, and after which neither may come late.
std::pair<monitor_ref, alias> monitor(pid other, monitor_alias mode);

namespace detail {
send_result post_to_alias(alias to, message* m) noexcept;
}

/// Sends a value to the process while the alias is active; else the value is dropped: `inactive`, or `noproc` when the
/// process has ended. A full mailbox treats it by its policy; what it does not take does not end the alias. Callable
/// on any thread.
template <class T>
send_result send(alias to, T&& value) {
    return detail::post_to_alias(
        to, detail::new_message<detail::value_message<std::decay_t<T>>>(std::forward<T>(value)));
}

} // namespace genever

template <>
struct std::hash<genever::alias> {
    std::size_t operator()(genever::alias a) const noexcept {
        return a.number() * 0x9E3779B97F4A7C15ULL >> 7;
    }
};
