// What tasks share whatever their types: starting, abandoning and awaiting them.
#include <genever/otp/task_supervisor.hpp>

#include "system_wait.hpp"

#include "runtime/runtime_core.hpp"
#include "runtime/signals.hpp"

namespace genever {

namespace detail {

bool task_state_base::is_wanted() noexcept {
    spin_guard g{lock_};
    return !abandoned_;
}

// The link first: once the owner sees that the task has begun, it can undo it.
bool task_state_base::begin() {
    if (linked) link(owner);
    bool goes_on;
    bool alone;
    {
        spin_guard g{lock_};
        begun_ = self();
        goes_on = !abandoned_;
        alone = abandoned_ || detached_;
    }
    if (linked && alone) unlink(owner);
    if (!goes_on) withdraw_monitor(owner, ref, self());
    return goes_on;
}

// The owner has ended its monitor before there was one. Here already: who is killed does not begin.
void task_state_base::started_as(genever::pid p) noexcept {
    if (!is_wanted()) withdraw_monitor(owner, ref, p);
}

void task_state_base::detach() {
    genever::pid p;
    {
        spin_guard g{lock_};
        detached_ = true;
        p = begun_;
    }
    if (linked && p) unlink(p);
}

void task_state_base::abandon() noexcept {
    genever::pid p;
    {
        spin_guard g{lock_};
        abandoned_ = true;
        p = begun_;
    }
    if (self() == owner) {
        demonitor(ref);
        if (linked && p) unlink(p);
    }
    if (p) exit(p, exit_kind::killed);
}

namespace {

/// Abandons a task whose start is not waited for any more.
class start_guard {
public:
    explicit start_guard(std::shared_ptr<task_state_base> s) noexcept : state_(std::move(s)) {}
    start_guard(const start_guard&) = delete;
    ~start_guard() {
        if (state_) state_->abandon();
    }
    task_state_base* operator->() const noexcept { return state_.get(); }
    void done() noexcept { state_.reset(); }

private:
    std::shared_ptr<task_state_base> state_;
};

struct any_of {
    awaited_refs* refs;
};
bool is_down_of_any(const message& m, const void* context) noexcept {
    auto* d = value_in<down>(m);
    return d && static_cast<const any_of*>(context)->refs->find(d->ref.value);
}

} // namespace

task<> start_task(dynamic_supervisor_ref supervisor, child_spec spec,
                  std::shared_ptr<task_state_base> state) {
    if (!state->owner) throw std::logic_error("genever: a task is possible inside a process only");
    start_guard guard{std::move(state)};
    auto asked = supervisor.start_child(std::move(spec));
    const auto r = co_await std::move(asked);
    if (!r && r.error().kind == child_error::what::max_children)
        throw std::runtime_error("the task supervisor has as many tasks as it may (max_children)");
    if (!r) throw std::runtime_error("the task was not started: " + to_string(r.error()));
    guard->task = *r;
    guard.done();
}

task<std::optional<exit_reason>> await_end(monitor_ref ref, time_point deadline) {
    const message_ptr m = co_await system_wait{&is_down_of, &ref, deadline};
    std::optional<exit_reason> why;
    if (m) why.emplace(value_in<down>(*m)->reason);
    co_return why;
}

task<std::optional<some_end>> await_any_end(awaited_refs& refs, time_point deadline) {
    const any_of context{&refs};
    const message_ptr m = co_await system_wait{&is_down_of_any, &context, deadline};
    std::optional<some_end> e;
    if (m) e.emplace(value_in<down>(*m)->ref.value, value_in<down>(*m)->reason);
    co_return e;
}

void require_owner(pid owner, const char* what) {
    if (self() != owner)
        throw std::logic_error(std::string{"genever: "} + what + " is for the task's owner, " +
                               to_string(owner) + ", and was called by " + to_string(self()));
}

void throw_task_exit(pid task, const exit_reason& why) {
    throw exit_error(why, "the task " + to_string(task) + " gave no result");
}

void throw_task_timeout() { throw exit_error(exit_kind::timeout, "the task has given no result in time"); }

unsigned worker_count() { return require_core("the number of workers").workers(); }

} // namespace detail

task<std::vector<genever::pid>> task_supervisor_ref::children() const {
    auto all = co_await to_.which_children();
    std::vector<genever::pid> pids;
    pids.reserve(all.size());
    for (const auto& c : all)
        if (c.pid) pids.push_back(c.pid);
    co_return pids;
}

} // namespace genever
