// The outside of supervisors: starting one, asking one, and the snapshot of a tree.
#include <genever/otp/supervisor.hpp>

#include "dynamic_supervisor_process.hpp"
#include "supervisor_process.hpp"

#include <genever/runtime/process.hpp>
#include <genever/runtime/time.hpp>

#include <algorithm>
#include <optional>

namespace genever {

using detail::supervisor_process;

std::string_view to_string(restart r) noexcept {
    switch (r) {
    case restart::permanent: return "permanent";
    case restart::transient: return "transient";
    case restart::temporary: return "temporary";
    }
    return "unknown";
}

std::string_view to_string(child_type t) noexcept {
    return t == child_type::supervisor ? "supervisor" : "worker";
}

std::string_view to_string(strategy s) noexcept {
    switch (s) {
    case strategy::one_for_one: return "one_for_one";
    case strategy::one_for_all: return "one_for_all";
    case strategy::rest_for_one: return "rest_for_one";
    }
    return "unknown";
}

std::string to_string(const child_error& e) {
    switch (e.kind) {
    case child_error::what::not_found: return "no such child";
    case child_error::what::running: return "the child is running as " + to_string(e.pid);
    case child_error::what::restarting: return "the child is being restarted";
    case child_error::what::already_started: return "already started as " + to_string(e.pid);
    case child_error::what::already_present: return "already present, not running";
    case child_error::what::start_failed: return "could not be started: " + to_string(e.reason);
    case child_error::what::bad_spec: return "bad child_spec: " + to_string(e.reason);
    case child_error::what::max_children: return "there are max_children children";
    }
    return "unknown";
}

task<start_result> start_link(supervisor s, std::string name) {
    std::string registered = name;
    return start_link<supervisor_process>(std::move(registered), std::move(s), std::move(name));
}

genever::pid supervisor_ref::pid() const { return name_.empty() ? pid_ : whereis(name_); }

namespace {

server_ref<supervisor_process> reach(const std::string& name, pid p) {
    return name.empty() ? server_ref<supervisor_process>{p} : server_ref<supervisor_process>{name};
}

template <class M>
task<typename M::reply> ask(server_ref<supervisor_process> to, M message, duration timeout) {
    co_return co_await to.call(message, timeout);
}

} // namespace

task<std::vector<child_info>> supervisor_ref::which_children(duration timeout) const {
    const auto to = reach(name_, pid_);
    auto r = co_await to.within(timeout).call<supervisor_process::which_children>();
    co_return std::move(r.children);
}

task<child_counts> supervisor_ref::count_children(duration timeout) const {
    return ask(reach(name_, pid_), supervisor_process::count_children{}, timeout);
}

task<std::expected<genever::pid, child_error>> supervisor_ref::start_child(child_spec c,
                                                                           duration timeout) const {
    return ask(reach(name_, pid_), supervisor_process::start_child{std::move(c)}, timeout);
}

task<std::expected<void, child_error>> supervisor_ref::terminate_child(std::string name,
                                                                       duration timeout) const {
    return ask(reach(name_, pid_), supervisor_process::terminate_child{std::move(name)}, timeout);
}

task<std::expected<genever::pid, child_error>> supervisor_ref::restart_child(std::string name,
                                                                             duration timeout) const {
    return ask(reach(name_, pid_), supervisor_process::restart_child{std::move(name)}, timeout);
}

task<std::expected<void, child_error>> supervisor_ref::delete_child(std::string name,
                                                                    duration timeout) const {
    return ask(reach(name_, pid_), supervisor_process::delete_child{std::move(name)}, timeout);
}

// ---- the tree

namespace {

// Fills in what the process itself, and if it is a supervisor its children, tell. Nothing: all is told; else why the
// process could not be asked.
task<std::optional<call_error>> explore(supervision_node& node, time_point deadline) {
    if (auto i = info(node.pid)) node.mailbox_length = i->mailbox_length;
    const server_ref<supervisor_process> to{node.pid};
    const duration left = std::max(duration::zero(), deadline - now());
    auto answer = co_await to.within(left).try_call<supervisor_process::which_children>();
    if (!answer && answer.error().kind() == call_failure::wrong_server) {
        auto dynamic = co_await detail::children_of_dynamic(node.pid, left);
        answer = std::move(dynamic);
    }
    if (!answer) {
        node.busy = answer.error().kind() == call_failure::timeout ||
                    answer.error().kind() == call_failure::calling_self;
        co_return std::move(answer.error());
    }
    node.started_at = answer->started_at;
    for (child_info& c : answer->children) {
        supervision_node child;
        static_cast<child_info&>(child) = std::move(c);
        if (child.pid && child.type == child_type::supervisor) {
            const time_point started = child.started_at;
            co_await explore(child, deadline);
            child.started_at = started;
        } else if (auto i = info(child.pid)) {
            child.mailbox_length = i->mailbox_length;
        }
        node.children.push_back(std::move(child));
    }
    co_return std::nullopt;
}

} // namespace

task<supervision_node> supervision_tree(supervisor_ref top, duration timeout) {
    supervision_node node;
    node.type = child_type::supervisor;
    node.pid = top.pid();
    if (auto i = info(node.pid)) node.name = i->names.empty() ? i->label : i->names.front();
    const time_point t = now();
    auto failed = co_await explore(node, timeout > time_point::max() - t ? time_point::max() : t + timeout);
    if (failed && !node.busy) throw *failed;
    co_return node;
}

} // namespace genever
