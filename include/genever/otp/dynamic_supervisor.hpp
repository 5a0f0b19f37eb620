// A supervisor for children that come and go at run time: sessions, connections, jobs.
#pragma once

#include <genever/base/clock.hpp>
#include <genever/base/pid.hpp>
#include <genever/otp/child_spec.hpp>
#include <genever/otp/supervisor.hpp>
#include <genever/runtime/task.hpp>

#include <chrono>
#include <concepts>
#include <cstddef>
#include <expected>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace genever {

/// The description of a dynamic supervisor, a value, as Elixir's DynamicSupervisor: it starts without children, and knows
/// `one_for_one` only. What runs it is `start_link`, or a supervisor (`child<dynamic_supervisor>("sessions")`).
///
/// Children are known by their pids; the names in their specs need not differ, and may be empty. One that ends and is not to
/// be restarted is forgotten. One whose restart fails is tried again, each try counting as a restart; more than
/// `max_restarts` within the period: all children are terminated, and it ends with `shutdown`. When it ends, for whatever
/// reason but a kill, its children end at the same time: all are asked (`shutdown`), and each is killed that takes longer
/// than its spec says. Each operation on a child takes constant time, however many there are.
///
/// While a child's init runs, or one is terminated by `terminate_child`, the supervisor does nothing else.
class dynamic_supervisor {
public:
    using genever_own_child = void;

    static constexpr std::size_t unlimited = std::numeric_limits<std::size_t>::max();

    /// How many children it has at most, those that wait for a restart included. Unlimited unless set.
    dynamic_supervisor& max_children(std::size_t n) & noexcept { return max_children_ = n, *this; }
    dynamic_supervisor&& max_children(std::size_t n) && noexcept { return std::move(max_children(n)); }
    /// How many restarts within the period are too many if exceeded: 3 within 5 seconds unless set.
    dynamic_supervisor& max_restarts(unsigned n) & noexcept { return max_restarts_ = n, *this; }
    dynamic_supervisor&& max_restarts(unsigned n) && noexcept { return std::move(max_restarts(n)); }
    dynamic_supervisor& period(duration d) & noexcept { return period_ = d, *this; }
    dynamic_supervisor&& period(duration d) && noexcept { return std::move(period(d)); }

    std::size_t max_children() const noexcept { return max_children_; }
    unsigned max_restarts() const noexcept { return max_restarts_; }
    duration period() const noexcept { return period_; }

private:
    std::size_t max_children_ = unlimited;
    duration period_ = std::chrono::seconds{5};
    unsigned max_restarts_ = 3;
};

/// Starts a dynamic supervisor linked to the calling process, registered under `name` (empty: under none).
task<start_result> start_link(dynamic_supervisor s, std::string name = {});

/// A dynamic supervisor as a child: of type supervisor, with an infinite shutdown.
template <std::same_as<dynamic_supervisor> T>
child_spec child(std::string name, dynamic_supervisor s = {}) {
    return child_spec(name, [name, s] { return start_link(s, name); })
        .type(child_type::supervisor)
        .shutdown(infinity);
}

/// A reference to a running dynamic supervisor, by name or pid. A value. All functions are for processes of its runtime,
/// and throw `call_error` when the supervisor does not answer within `timeout`; what was asked for may happen all the same.
class dynamic_supervisor_ref {
public:
    explicit dynamic_supervisor_ref(std::string name) : name_(std::move(name)) {}
    explicit dynamic_supervisor_ref(std::string_view name) : name_(name) {}
    explicit dynamic_supervisor_ref(const char* name) : name_(name) {}
    explicit dynamic_supervisor_ref(genever::pid p) noexcept : pid_(p) {}

    static constexpr duration short_wait = supervisor_ref::short_wait;
    static constexpr duration long_wait = supervisor_ref::long_wait;

    /// The process it leads to at the moment; `pid{}`: nobody.
    genever::pid pid() const;

    /// Starts a child, waiting for its init. Gives its pid; `pid{}` when its start function had nothing to run (`ignore`),
    /// which leaves no child; or why not: `max_children`, `start_failed`, `bad_spec` (no start function, or significant).
    task<std::expected<genever::pid, child_error>> start_child(child_spec c,
                                                               duration timeout = long_wait) const;
    /// Terminates a child and forgets it; waits for its end. `not_found` when it is no child (any more). A child that waits
    /// for its restart is found under the pid that it had.
    task<std::expected<void, child_error>> terminate_child(genever::pid child,
                                                           duration timeout = long_wait) const;
    /// The children, in no particular order.
    task<std::vector<child_info>> which_children(duration timeout = short_wait) const;
    task<child_counts> count_children(duration timeout = short_wait) const;

private:
    std::string name_;
    genever::pid pid_;
};

} // namespace genever
