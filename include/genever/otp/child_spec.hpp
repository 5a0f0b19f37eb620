// What a supervisor knows of a child: how to start it, when to restart it, how to stop it.
#pragma once

#include <genever/base/clock.hpp>
#include <genever/base/exit_reason.hpp>
#include <genever/base/pid.hpp>
#include <genever/otp/gen_server.hpp>
#include <genever/runtime/task.hpp>

#include <chrono>
#include <concepts>
#include <cstdint>
#include <expected>
#include <functional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace genever {

/// When a child that has ended is started again.
enum class restart : std::uint8_t {
    permanent, ///< always
    transient, ///< after an abnormal exit: anything but `normal` and `shutdown`
    temporary, ///< never; the supervisor forgets it when it has ended
};
std::string_view to_string(restart r) noexcept;

enum class child_type : std::uint8_t { worker, supervisor };
std::string_view to_string(child_type t) noexcept;

/// For `child_spec::shutdown`: stop the child by a kill.
struct brutal_kill_t {};
inline constexpr brutal_kill_t brutal_kill{};

/// What a start function gives: the pid of a process that is linked to the supervisor and ready for work, `pid{}` for
/// "nothing to run" (OTP's `ignore`), or why it could not be started.
using start_result = std::expected<pid, exit_reason>;

/// A child of a supervisor. Made by `child<T>(...)`; the setters can be chained.
class child_spec {
public:
    /// `start` runs in the supervisor's process, at every start and restart.
    child_spec(std::string name, std::function<task<start_result>()> start)
        : name_(std::move(name)), start_(std::move(start)) {}

    /// Unique among its siblings; its processes are registered under it.
    const std::string& name() const noexcept { return name_; }

    child_spec& restart(genever::restart r) & noexcept { return restart_ = r, *this; }
    child_spec&& restart(genever::restart r) && noexcept { return std::move(restart(r)); }
    /// How long the supervisor waits after asking it to end (`shutdown`), before it kills it. 5 seconds unless
    /// set; `infinity` for supervisors.
    child_spec& shutdown(duration limit) & noexcept { return shutdown_ = limit, brutal_ = false, *this; }
    child_spec&& shutdown(duration limit) && noexcept { return std::move(shutdown(limit)); }
    child_spec& shutdown(brutal_kill_t) & noexcept { return brutal_ = true, *this; }
    child_spec&& shutdown(brutal_kill_t b) && noexcept { return std::move(shutdown(b)); }
    child_spec& type(child_type t) & noexcept { return type_ = t, *this; }
    child_spec&& type(child_type t) && noexcept { return std::move(type(t)); }
    /// Its end by itself may end the supervisor, see `auto_shutdown`. Not for permanent children.
    child_spec& significant(bool yes = true) & noexcept { return significant_ = yes, *this; }
    child_spec&& significant(bool yes = true) && noexcept { return std::move(significant(yes)); }

    genever::restart restart() const noexcept { return restart_; }
    duration shutdown_limit() const noexcept { return shutdown_; }
    bool is_brutal() const noexcept { return brutal_; }
    child_type type() const noexcept { return type_; }
    bool is_significant() const noexcept { return significant_; }
    const std::function<task<start_result>()>& start() const noexcept { return start_; }

private:
    std::string name_;
    std::function<task<start_result>()> start_;
    duration shutdown_ = std::chrono::seconds{5};
    genever::restart restart_ = genever::restart::permanent;
    child_type type_ = child_type::worker;
    bool brutal_ = false;
    bool significant_ = false;
};

class supervisor;

namespace detail {
template <class T>
concept has_options = requires { typename T::options; };
/// Descriptions of supervisors and the like, which are no servers and have a `child` of their own.
template <class T>
concept has_own_child = std::same_as<T, supervisor> || requires { typename T::genever_own_child; };
template <class T>
concept makes_own_spec = has_options<T> && requires(std::string name, typename T::options o) {
    { T::child_spec(std::move(name), std::move(o)) } -> std::same_as<genever::child_spec>;
};
} // namespace detail

/// A gen_server T as a child: at each start T(args...) is made anew from copies of the arguments, in the new process,
/// which is registered under `name`.
template <class T, class... Args>
    requires(!detail::has_options<T> && !detail::has_own_child<T>)
child_spec child(std::string name, Args... args) {
    return child_spec(name, [name, args...] { return start_link<T>(name, args...); });
}

/// A T that is set up by `T::options`, so that a braced list will do: `child<T>("name", {.port = 4000})`. T has a static
/// `genever::child_spec child_spec(std::string name, options)`, or is a gen_server made from its options.
template <class T>
    requires detail::has_options<T>
child_spec child(std::string name, typename T::options options = {}) {
    if constexpr (detail::makes_own_spec<T>)
        return T::child_spec(std::move(name), std::move(options));
    else
        return child_spec(name,
                          [name, options = std::move(options)] { return start_link<T>(name, options); });
}

} // namespace genever
