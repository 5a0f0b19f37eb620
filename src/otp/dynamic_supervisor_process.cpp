#include "dynamic_supervisor_process.hpp"

#include "end_process.hpp"
#include "system_wait.hpp"

#include <genever/runtime/time.hpp>

#include <algorithm>
#include <chrono>
#include <map>
#include <utility>
#include <vector>

namespace genever::detail {

namespace {

using what = child_error::what;

std::unexpected<child_error> refusal(what kind, exit_reason why = {}) {
    return std::unexpected(child_error{kind, {}, std::move(why)});
}

bool is_exit(const message& m, const void*) noexcept { return value_in<exit_signal>(m) != nullptr; }
bool is_end(const message& m, const void*) noexcept { return value_in<down>(m) || value_in<exit_signal>(m); }

} // namespace

dynamic_supervisor_process::dynamic_supervisor_process(dynamic_supervisor spec, std::string name)
    : spec_(spec), name_(std::move(name)), intensity_(spec_.max_restarts(), spec_.period()),
      started_at_(now()) {}

void dynamic_supervisor_process::init() { trap_exit(true); }

void dynamic_supervisor_process::report(log::level l, std::string_view child, genever::pid p,
                                        std::string_view what, const exit_reason& why) const noexcept {
    if (!log::enabled(l)) return;
    try {
        std::string text = "dynamic supervisor ";
        text += name_.empty() ? to_string(self()) : name_;
        text += ": child";
        if (!child.empty()) (text += ' ') += child;
        if (p) (text += ' ') += to_string(p);
        (text += ' ') += what;
        (text += ": ") += to_string(why);
        log::write(l, text);
    } catch (...) {
        // Without memory there is no report.
    }
}

void dynamic_supervisor_process::report_end(const child_state& c, genever::pid p, const exit_reason& why,
                                            bool late) const noexcept {
    const bool expected =
        c.spec.is_brutal() ? why == exit_kind::killed
                           : why == exit_kind::shutdown || (why == exit_kind::normal &&
                                                            c.spec.restart() != genever::restart::permanent);
    if (late)
        report(log::level::error, c.spec.name(), p, "did not end in time and was killed", why);
    else if (!expected)
        report(log::level::error, c.spec.name(), p, "ended otherwise than it was asked to", why);
}

task<start_result> dynamic_supervisor_process::start(child_state& c) {
    start_result r;
    try {
        r = co_await c.spec.start()();
    } catch (...) {
        r = std::unexpected(exit_reason::from_exception(std::current_exception()));
    }
    if (!r) report(log::level::error, c.spec.name(), {}, "could not be started", r.error());
    c.started_at = now();
    co_return r;
}

// ---- the end of all children, at the same time

task<> dynamic_supervisor_process::terminate(const exit_reason&) {
    struct ending {
        genever::pid pid;
        const child_state* child;
        exit_reason link_says = {}; // the exit that was under way before the monitor
        bool ended_before = false;
        bool late = false;
    };
    ordered_table<std::uint64_t, ending> waiting; // by monitor
    ordered_table<genever::pid, std::uint64_t> monitors;
    std::map<duration, std::vector<std::uint64_t>> limits; // who may take how long
    for (const auto& [p, c] : children_) {
        if (c->restarting) continue;
        const monitor_ref ref = monitor(p);
        waiting.insert(ref.value, ending{p, c.get()});
        monitors.insert(p, ref.value);
        if (!c->spec.is_brutal() && c->spec.shutdown_limit() != infinity)
            limits[c->spec.shutdown_limit()].push_back(ref.value);
        exit(p, c->spec.is_brutal() ? exit_kind::killed : exit_kind::shutdown);
    }
    for (const exit_signal& s : exits_) {
        const std::uint64_t* ref = monitors.find(s.from);
        if (!ref) continue;
        ending& e = *waiting.find(*ref);
        e.link_says = s.reason;
        e.ended_before = true;
    }
    const time_point from = now();
    for (;;) {
        if (waiting.empty()) break;
        const time_point deadline = limits.empty() ? time_point::max() : later(from, limits.begin()->first);
        message_ptr m = co_await system_wait{&is_end, nullptr, deadline};
        if (!m) {
            for (std::uint64_t ref : limits.begin()->second) {
                if (ending* e = waiting.find(ref)) {
                    e->late = true;
                    exit(e->pid, exit_kind::killed);
                }
            }
            limits.erase(limits.begin());
        } else if (const exit_signal* s = value_in<exit_signal>(*m)) {
            if (const std::uint64_t* ref = monitors.find(s->from)) {
                if (ending* e = waiting.find(*ref)) {
                    e->link_says = s->reason;
                    e->ended_before = true;
                }
            }
        } else {
            const down& d = *value_in<down>(*m);
            ending* e = waiting.find(d.ref.value);
            if (!e) continue;
            const bool by_link = d.reason == exit_kind::noproc && e->ended_before;
            report_end(*e->child, e->pid, by_link ? e->link_says : d.reason, e->late);
            waiting.erase(d.ref.value);
        }
    }
    children_.clear();
}

// ---- exits and restarts

// The parent's is obeyed at once: what else there is to settle goes with the children.
void dynamic_supervisor_process::take_exits() {
    process& me = *current_process();
    while (message_ptr m = take_system_message(me, &is_exit, nullptr)) {
        const exit_signal& s = *value_in<exit_signal>(*m);
        if (genever_launch.parent && s.from == genever_launch.parent)
            stop(s.reason);
        else
            exits_.push_back(s);
    }
}

// Of those that are not started again only: nobody waits for them, and each gives its place back.
void dynamic_supervisor_process::settle_those_that_stay_gone() {
    take_exits();
    std::erase_if(exits_, [this](const exit_signal& s) {
        const child_ptr* c = children_.find(s.from);
        if (!c || (*c)->restarting || is_restarted(**c, s.reason)) return false;
        forget(**c, s);
        return true;
    });
    if (!exits_.empty() && !more_is_due_) { // they have left the mailbox: nobody else would come back to them
        more_is_due_ = true;
        server_ref<dynamic_supervisor_process>{self()}.cast(settle_more{});
    }
}

bool dynamic_supervisor_process::is_restarted(const child_state& c, const exit_reason& why) noexcept {
    const genever::restart rule = c.spec.restart();
    return rule == genever::restart::permanent || (rule == genever::restart::transient && why.abnormal());
}

void dynamic_supervisor_process::forget(const child_state& c, const exit_signal& s) {
    if (s.reason.abnormal()) report(log::level::error, c.spec.name(), s.from, "has ended", s.reason);
    children_.erase(s.from);
}

task<> dynamic_supervisor_process::handle(exit_signal s) {
    exits_.push_back(std::move(s));
    if (more_is_due_) return {};
    return settle_those_there();
}

task<> dynamic_supervisor_process::handle(settle_more) {
    more_is_due_ = false;
    return settle_those_there();
}

task<> dynamic_supervisor_process::settle_those_there() {
    take_exits();
    for (std::size_t there = exits_.size(); there != 0; --there) {
        if (genever_stop) co_return;
        exit_signal next = std::move(exits_.front());
        exits_.pop_front();
        co_await settle(std::move(next));
        take_exits();
    }
    if (genever_stop || exits_.empty()) co_return;
    more_is_due_ = true;
    server_ref<dynamic_supervisor_process>{self()}.cast(settle_more{});
}

task<> dynamic_supervisor_process::settle(exit_signal s) {
    child_ptr* found = children_.find(s.from);
    if (!found || (*found)->restarting) co_return; // a stranger's
    if (!is_restarted(**found, s.reason)) {
        forget(**found, s);
        co_return;
    }
    co_await restart(s.from, &s.reason);
}

task<> dynamic_supervisor_process::handle(try_again m) {
    child_ptr* found = children_.find(m.old);
    if (!found || !(*found)->restarting) co_return;
    (*found)->restarting = false;
    --restarting_;
    co_await restart(m.old, nullptr);
}

// `why` null: another try.
task<> dynamic_supervisor_process::restart(genever::pid old, const exit_reason* why) {
    child_state& c = **children_.find(old);
    const bool may = intensity_.add(now());
    if (!may) {
        report(log::level::error, c.spec.name(), old, "needs more restarts than are allowed: giving up",
               why ? *why : exit_reason{exit_kind::error});
        children_.erase(old);
        stop(exit_reason::shutdown(reached_max_restart_intensity));
        co_return;
    }
    if (why) report(log::level::warning, c.spec.name(), old, "is restarted after its end", *why);
    start_result r = co_await start(c);
    if (!r) {
        c.restarting = true;
        ++restarting_;
        server_ref<dynamic_supervisor_process>{self()}.cast(try_again{old});
        co_return;
    }
    ++c.restarts;
    child_ptr kept = std::move(*children_.find(old));
    children_.erase(old);
    if (*r) children_.insert(*r, std::move(kept));
}

// ---- requests

auto dynamic_supervisor_process::handle(which_children) -> which_children::reply {
    which_children::reply r{started_at_, {}};
    r.children.reserve(children_.size());
    for (const auto& [p, c] : children_)
        r.children.push_back({c->spec.name(), c->restarting ? genever::pid{} : p, c->spec.type(),
                              c->spec.restart(), c->restarting, c->restarts, c->started_at});
    return r;
}

child_counts dynamic_supervisor_process::handle(count_children) {
    child_counts n;
    n.specs = children_.size();
    n.active = children_.size() - restarting_;
    for (const auto& [p, c] : children_)
        ++(c->spec.type() == child_type::supervisor ? n.supervisors : n.workers);
    return n;
}

auto dynamic_supervisor_process::handle(start_child m) -> task<start_child::reply> {
    if (children_.size() >= spec_.max_children()) settle_those_that_stay_gone();
    if (genever_stop) co_return refusal(what::start_failed, *genever_stop);
    if (children_.size() >= spec_.max_children()) co_return refusal(what::max_children);
    if (!m.spec.start()) co_return refusal(what::bad_spec, exit_reason::error("it has no start function"));
    if (m.spec.is_significant())
        co_return refusal(what::bad_spec,
                          exit_reason::error("it is significant: a dynamic supervisor has no auto_shutdown"));
    auto c = std::make_unique<child_state>(std::move(m.spec));
    start_result r = co_await start(*c);
    if (!r) co_return refusal(what::start_failed, r.error());
    if (*r) children_.insert(*r, std::move(c));
    co_return *r;
}

auto dynamic_supervisor_process::handle(terminate_child m) -> task<terminate_child::reply> {
    child_ptr* found = children_.find(m.pid);
    if (!found) co_return refusal(what::not_found);
    const child_state& c = **found;
    const auto ended = std::ranges::find(exits_, m.pid, &exit_signal::from);
    if (c.restarting) {
        --restarting_;
    } else if (ended != exits_.end()) { // before it was asked to
        report_end(c, m.pid, ended->reason, false);
        exits_.erase(ended);
    } else {
        const exit_kind how = c.spec.is_brutal() ? exit_kind::killed : exit_kind::shutdown;
        const process_end end = co_await end_process(m.pid, how, c.spec.shutdown_limit());
        report_end(c, m.pid, end.why, end.late);
    }
    children_.erase(m.pid);
    co_return terminate_child::reply{};
}

task<std::expected<supervisor_process::children_reply, call_error>> children_of_dynamic(pid p,
                                                                                        duration timeout) {
    const server_ref<dynamic_supervisor_process> to{p};
    auto r = co_await to.within(timeout).try_call<dynamic_supervisor_process::which_children>();
    co_return r;
}

} // namespace genever::detail
