// Supervisors: start children in order, restart them by rule, stop them in reverse order.
#pragma once

#include <genever/base/clock.hpp>
#include <genever/base/pid.hpp>
#include <genever/otp/back_off.hpp>
#include <genever/otp/child_spec.hpp>
#include <genever/otp/server_ref.hpp>
#include <genever/runtime/task.hpp>

#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace genever {

/// Whom a child's restart concerns.
enum class strategy : std::uint8_t {
    one_for_one,  ///< only the child
    one_for_all,  ///< all children: the others are terminated, then all started
    rest_for_one, ///< the child and those after it
};
std::string_view to_string(strategy s) noexcept;

/// When the end of a significant child, by itself and without a restart, ends the supervisor.
enum class auto_shutdown : std::uint8_t { never, any_significant, all_significant };

/// The description of a supervisor, a value: `supervisor{strategy::one_for_one, {child<A>("a"), child<B>("b")}}`. What
/// runs it is `run`, `start_link`, or another supervisor (`child<supervisor>("name", supervisor{...})`).
///
/// As OTP's: children are started in order, each start waiting for the init; if one fails, those before it are terminated
/// and the supervisor does not start. A child that ends is restarted according to its `restart` and the strategy;
/// a restart that fails is tried again. More than `max_restarts` within the period: the supervisor terminates all
/// children and ends with `shutdown`, which is for its own supervisor to judge. When it ends, for whatever reason
/// but a kill, it terminates its children in reverse order: asks each to end (`shutdown`), waits as long as its
/// `shutdown` says, then kills it. A kill takes the children with it, by their links.
///
/// While a child's init runs, the supervisor does nothing else: a child that asks its own supervisor for something in
/// its init waits for itself until the question times out.
class supervisor {
public:
    /// The children's names must differ; `start` fails otherwise.
    supervisor(genever::strategy s, std::vector<child_spec> children)
        : children_(std::move(children)), strategy_(s) {}

    /// How many restarts within the period are too many if exceeded: 3 within 5 seconds unless set. Above 1,024 they are
    /// counted to within a 1,024th of the period, so that neither time nor memory grows with them. A period that is
    /// not more than zero makes the start fail.
    supervisor& max_restarts(unsigned n) & noexcept { return max_restarts_ = n, *this; }
    supervisor&& max_restarts(unsigned n) && noexcept { return std::move(max_restarts(n)); }
    supervisor& period(duration d) & noexcept { return period_ = d, *this; }
    supervisor&& period(duration d) && noexcept { return std::move(period(d)); }
    supervisor& auto_shutdown(genever::auto_shutdown a) & noexcept { return auto_shutdown_ = a, *this; }
    supervisor&& auto_shutdown(genever::auto_shutdown a) && noexcept { return std::move(auto_shutdown(a)); }

    /// Beyond OTP, and off unless set: waits before each restart. Meanwhile the supervisor serves requests, and the child,
    /// with the siblings that were terminated for its sake, is shown as `restarting`; `terminate_child` calls the restart
    /// off. A restart counts from the end that made it necessary, not from its start.
    supervisor& back_off(genever::back_off b) & noexcept { return back_off_ = b, *this; }
    supervisor&& back_off(genever::back_off b) && noexcept { return std::move(back_off(b)); }

    genever::strategy strategy() const noexcept { return strategy_; }
    unsigned max_restarts() const noexcept { return max_restarts_; }
    duration period() const noexcept { return period_; }
    genever::auto_shutdown auto_shutdown() const noexcept { return auto_shutdown_; }
    const std::optional<genever::back_off>& back_off() const noexcept { return back_off_; }
    const std::vector<child_spec>& children() const noexcept { return children_; }

private:
    std::vector<child_spec> children_;
    std::optional<genever::back_off> back_off_;
    duration period_ = std::chrono::seconds{5};
    unsigned max_restarts_ = 3;
    genever::strategy strategy_;
    genever::auto_shutdown auto_shutdown_ = genever::auto_shutdown::never;
};

/// Starts a supervisor linked to the calling process, registered under `name` (empty: under none), and waits until
/// all its children are up. Otherwise says why not; what had been started is gone then.
task<start_result> start_link(supervisor s, std::string name = {});

/// A nested supervisor as a child: of type supervisor, with an infinite shutdown.
template <std::same_as<supervisor> T>
child_spec child(std::string name, supervisor s) {
    return child_spec(name, [name, s = std::move(s)] { return start_link(s, name); })
        .type(child_type::supervisor)
        .shutdown(infinity);
}

/// A child as its supervisor sees it.
struct child_info {
    std::string name;
    genever::pid pid; ///< `pid{}` while it does not run
    child_type type = child_type::worker;
    genever::restart restart = genever::restart::permanent;
    bool restarting =
        false; ///< about to be started again: after a failed start, during a back-off, or with a sibling
    std::uint64_t restarts = 0; ///< how often it has been started again
    time_point started_at;      ///< its last start
};

struct child_counts {
    std::size_t specs = 0;
    std::size_t active = 0; ///< those that run
    std::size_t supervisors = 0;
    std::size_t workers = 0;
};

/// Why a supervisor did not do what it was asked for.
struct child_error {
    enum class what : std::uint8_t {
        not_found,       ///< no child has this name
        running,         ///< the child runs (and must not)
        restarting,      ///< its restart is under way
        already_started, ///< start_child: a child of this name runs, `pid`
        already_present, ///< start_child: there is a child of this name, which does not run: restart or delete it
        start_failed, ///< `reason`
        bad_spec,     ///< `reason`
        max_children, ///< dynamic_supervisor: it has as many as it may
    };
    what kind;
    genever::pid pid = {};
    exit_reason reason = {};
};
std::string to_string(const child_error& e);

/// A reference to a running supervisor, by name or pid: its children at run time. All functions throw `call_error` when
/// the supervisor does not answer within `timeout`: it may be busy starting or terminating a child.
class supervisor_ref {
public:
    explicit supervisor_ref(std::string name) : name_(std::move(name)) {}
    explicit supervisor_ref(std::string_view name) : name_(name) {}
    explicit supervisor_ref(const char* name) : name_(name) {}
    explicit supervisor_ref(genever::pid p) noexcept : pid_(p) {}

    static constexpr duration short_wait = std::chrono::seconds{5};
    static constexpr duration long_wait = std::chrono::minutes{1}; // longer than a child's default shutdown

    /// The process it leads to at the moment; `pid{}`: nobody.
    genever::pid pid() const;

    /// The children in the order of their start.
    task<std::vector<child_info>> which_children(duration timeout = short_wait) const;
    task<child_counts> count_children(duration timeout = short_wait) const;
    /// Adds a child after the others and starts it.
    task<std::expected<genever::pid, child_error>> start_child(child_spec c,
                                                               duration timeout = long_wait) const;
    /// Terminates a child. It is not restarted, but stays known (unless it is temporary).
    task<std::expected<void, child_error>> terminate_child(std::string name,
                                                           duration timeout = long_wait) const;
    /// Starts a child that does not run.
    task<std::expected<genever::pid, child_error>> restart_child(std::string name,
                                                                 duration timeout = long_wait) const;
    /// Forgets a child that does not run.
    task<std::expected<void, child_error>> delete_child(std::string name,
                                                        duration timeout = short_wait) const;

private:
    std::string name_;
    genever::pid pid_;
};

/// One process of a supervision tree.
struct supervision_node : child_info {
    std::size_t mailbox_length = 0;
    /// A supervisor that did not answer in time (it is starting or stopping a child): its children are not known.
    bool busy = false;
    std::vector<supervision_node> children;
};

/// A snapshot of a supervision tree from a supervisor down. Nested supervisors are asked one after the other; all of it
/// takes `timeout` at most, and who has not answered by then is `busy`. Throws `call_error` (noproc, wrong_server) when
/// there is no such supervisor.
task<supervision_node> supervision_tree(supervisor_ref top, duration timeout = std::chrono::seconds{1});

} // namespace genever
