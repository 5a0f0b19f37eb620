// Names that are not the runtime's: a server that is known under a key of a registry.
#pragma once

#include <genever/base/exit_reason.hpp>
#include <genever/base/pid.hpp>

#include <memory>
#include <optional>
#include <string>
#include <utility>

namespace genever {

namespace detail {

/// Somewhere to register a name and to look it up.
struct via_target {
    via_target() = default;
    via_target(const via_target&) = delete;
    virtual ~via_target() = default;
    /// Gives the name to the calling process. Nothing: done; else why not.
    virtual std::optional<exit_reason> register_self() const = 0;
    /// Takes the calling process's name away.
    virtual void unregister_self() const = 0;
    virtual pid whereis() const = 0;
    virtual bool same_as(const via_target& other) const = 0;
    /// For logs and people.
    virtual std::string text() const = 0;
};

} // namespace detail

/// A name that a registry keeps, as Elixir's `{:via, Registry, {registry, key}}`: made by `via(registry, key)`, it stands
/// where a name would: `start_link<S>(via(rooms, 7))`, `child<S>(via(rooms, 7))` (via.hpp), `server_ref<S>{via(rooms, 7)}`.
/// A value.
class via_name {
public:
    explicit via_name(std::shared_ptr<const detail::via_target> target) noexcept
        : target_(std::move(target)) {}

    /// Who has the name at the moment; `pid{}`: nobody.
    genever::pid pid() const { return target_->whereis(); }
    /// `registry/key` where the key is a text or a number, else `registry`.
    std::string text() const { return target_->text(); }
    const std::shared_ptr<const detail::via_target>& target() const noexcept { return target_; }

    friend bool operator==(const via_name& a, const via_name& b) { return a.target_->same_as(*b.target_); }

private:
    std::shared_ptr<const detail::via_target> target_;
};

} // namespace genever
