// Who watches this program from outside: its heart, a service manager, or nobody; and what `run` tells them.
#pragma once

#include <genever/base/clock.hpp>
#include <genever/runtime/socket_source.hpp>

#include <expected>
#include <memory>
#include <string>

namespace genever::detail {

class overseer {
public:
    virtual ~overseer() = default;

    /// The tree is up.
    virtual void ready() noexcept = 0;
    /// A stop was asked for by a signal.
    virtual void stopping() noexcept = 0;
    /// The tree is down: nothing beats from now on.
    virtual void ended() noexcept = 0;
    /// The runtime makes progress. Any thread; does not block.
    virtual void beat() noexcept = 0;
    /// How often that is wanted; `infinity`: never.
    virtual duration beat_every() const noexcept = 0;
    /// Whether connections are to be left alone until the tree is up.
    virtual bool holds_connections() const noexcept { return false; }
    /// Where listeners come from; null: they are bound.
    virtual std::shared_ptr<socket_source> sockets() noexcept = 0;
};

/// The heart that has started this process; null: none has. The error says why it cannot be spoken to. To be called before
/// there are other threads, since it takes the heart's variable out of the environment.
std::expected<std::shared_ptr<overseer>, std::string> find_heart();

/// The service manager as the environment tells; where there is none, one that wants nothing.
std::shared_ptr<overseer> find_service_manager();

} // namespace genever::detail
