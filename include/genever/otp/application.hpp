// Applications: the parts of a program, each with a supervision tree, started after those that they depend on.
#pragma once

#include <genever/otp/application_env.hpp>
#include <genever/otp/child_spec.hpp>
#include <genever/otp/run.hpp>
#include <genever/otp/supervisor.hpp>
#include <genever/runtime/task.hpp>

#include <concepts>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace genever {

/// What the end of an application means for the others, as in OTP.
enum class application_type : std::uint8_t {
    permanent, ///< all are stopped, and the program ends
    transient, ///< the same, unless its reason is `normal` (which a supervisor's end never is by itself)
    temporary, ///< nothing: it is reported
};
std::string_view to_string(application_type t) noexcept;

/// One part of a program. A value, made with setters:
///
///     application{"shop"}.depends_on({"db"}).env("page_size", 20).supervise(supervisor{...})
class application {
public:
    /// The name is unique in the program; the top supervisor is registered under it.
    explicit application(std::string name) : name_(std::move(name)) {}

    /// Those that must have been started before, and are stopped after it.
    application&& depends_on(std::vector<std::string> names) && {
        return dependencies_ = std::move(names), std::move(*this);
    }
    /// Its supervision tree. Without one it is a library: there for its order and its settings.
    application&& supervise(supervisor top) && { return top_ = std::move(top), std::move(*this); }
    /// A setting's default, for `get_env(name, key)`. It is stored when the applications are started, unless `put_env` has
    /// stored one before.
    template <class T>
    application&& env(std::string key, const T& value) && {
        settings_.emplace_back(std::move(key), detail::to_env_text(value));
        return std::move(*this);
    }
    /// `permanent` unless set.
    application&& type(application_type t) && noexcept { return type_ = t, std::move(*this); }
    /// Called after its tree has ended in order, before those that it depends on are stopped. What it throws is reported.
    application&& on_stop(std::function<void()> f) && { return on_stop_ = std::move(f), std::move(*this); }

    const std::string& name() const noexcept { return name_; }
    const std::vector<std::string>& dependencies() const noexcept { return dependencies_; }
    const std::optional<supervisor>& top() const noexcept { return top_; }
    const std::vector<std::pair<std::string, std::string>>& settings() const noexcept { return settings_; }
    application_type type() const noexcept { return type_; }
    const std::function<void()>& on_stop() const noexcept { return on_stop_; }

private:
    std::string name_;
    std::vector<std::string> dependencies_;
    std::vector<std::pair<std::string, std::string>> settings_;
    std::optional<supervisor> top_;
    std::function<void()> on_stop_;
    application_type type_ = application_type::permanent;
};

/// All applications of a program, in the order of their start: each after those it depends on, otherwise as they are given.
class applications {
public:
    using genever_own_child = void;

    /// Throws std::invalid_argument when a name is empty or occurs twice, a dependency is unknown, or depends on itself by
    /// a circle, which the text shows.
    explicit applications(std::vector<application> all);

    const std::vector<application>& in_order() const noexcept { return all_; }

private:
    std::vector<application> all_;
};

/// Starts the applications in order, in a process that is linked to the caller and registered under `name`. If one cannot be
/// started, those before it are stopped, and the error says which. When the process is asked to end by its parent, or an
/// application's end wants it (`application_type`), it stops them in reverse order, each taking the time it takes.
task<start_result> start_link(applications all, std::string name = "applications");

/// The applications as a child of a supervisor.
template <std::same_as<applications> T>
child_spec child(std::string name, applications all) {
    return child_spec(name, [name, all = std::move(all)] { return start_link(all, name); })
        .type(child_type::supervisor)
        .shutdown(infinity);
}

/// The names of the applications that run, in the order of their start. Throws `call_error`, see server_ref.
task<std::vector<std::string>> started_applications(std::string name = "applications");

/// A program made of applications: `run(supervisor)` (run.hpp) with them as its only child, and no restart: the end of a
/// permanent one ends the program with code 1.
int run(applications all, run_options options = {});

} // namespace genever
