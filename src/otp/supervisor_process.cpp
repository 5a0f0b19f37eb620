#include "supervisor_process.hpp"

#include "end_process.hpp"
#include "system_wait.hpp"

#include "runtime/random.hpp"

#include <genever/base/log.hpp>
#include <genever/runtime/time.hpp>

#include <algorithm>
#include <chrono>
#include <unordered_set>

namespace genever::detail {

namespace {

std::optional<exit_reason> flaw_of(const child_spec& c, const supervisor& s) {
    if (c.name().empty()) return exit_reason::error("a child has no name");
    if (!c.start()) return exit_reason::error("child " + c.name() + " has no start function");
    if (c.shutdown_limit() < duration::zero())
        return exit_reason::error("child " + c.name() + " has a negative shutdown");
    if (!c.is_significant()) return {};
    if (c.restart() == restart::permanent)
        return exit_reason::error("child " + c.name() +
                                  " is significant and permanent: it never ends by itself");
    if (s.auto_shutdown() == auto_shutdown::never)
        return exit_reason::error("child " + c.name() + " is significant, but auto_shutdown is never");
    return {};
}

std::optional<exit_reason> flaw_of(const supervisor& s) {
    if (s.period() <= duration::zero()) return exit_reason::error("the period is not more than zero");
    if (const auto& b = s.back_off()) {
        // So written that a NaN is refused.
        if (!(b->first > duration::zero() && b->most >= b->first && b->factor >= 1 && b->jitter >= 0 &&
              b->jitter <= 1))
            return exit_reason::error("the back_off is impossible: see genever::back_off");
    }
    std::unordered_set<std::string_view> names;
    for (const child_spec& c : s.children()) {
        if (auto flaw = flaw_of(c, s)) return flaw;
        if (!names.insert(c.name()).second) return exit_reason::error("two children are named " + c.name());
    }
    return {};
}

std::string seconds(duration d) {
    std::string s = std::to_string(std::chrono::duration<double>(d).count());
    s.erase(s.find_last_not_of('0') + 1);
    if (s.back() == '.') s.pop_back();
    return s + " s";
}

} // namespace

supervisor_process::supervisor_process(supervisor spec, std::string name)
    : spec_(std::move(spec)), name_(std::move(name)), intensity_(spec_.max_restarts(), spec_.period()),
      started_at_(now()) {}

void supervisor_process::report(log::level l, std::string_view child, genever::pid p, std::string_view what,
                                const exit_reason& why) const noexcept {
    if (!log::enabled(l)) return;
    try {
        std::string text = "supervisor ";
        text += name_.empty() ? to_string(self()) : name_;
        if (!child.empty()) (text += ": child ") += child;
        if (p) (text += ' ') += to_string(p);
        (text += ' ') += what;
        (text += ": ") += to_string(why);
        log::write(l, text);
    } catch (...) {
        // Without memory there is no report.
    }
}

// ---- start and stop of children

task<> supervisor_process::init() {
    trap_exit(true);
    if (auto flaw = flaw_of(spec_)) {
        stop(*flaw);
        co_return;
    }
    for (const child_spec& c : spec_.children()) children_.push_back(std::make_unique<child_state>(c));
    for (std::size_t i = 0; i < children_.size();) {
        child_state& c = *children_[i];
        const auto why = co_await start(c);
        if (why) {
            const std::string text = "child " + c.spec.name() + " could not be started: " + to_string(*why);
            co_await terminate_from(0, nullptr);
            stop(exit_reason::shutdown(text));
            co_return;
        }
        if (!c.pid && c.spec.restart() == genever::restart::temporary)
            children_.erase(children_.begin() + static_cast<std::ptrdiff_t>(i));
        else
            ++i;
    }
}

// Nothing: it runs (or had nothing to run).
task<std::optional<exit_reason>> supervisor_process::start(child_state& c) {
    call_off(c);
    start_result r;
    try {
        r = co_await c.spec.start()();
    } catch (...) {
        r = std::unexpected(exit_reason::from_exception(std::current_exception()));
    }
    if (!r) {
        report(log::level::error, c.spec.name(), {}, "could not be started", r.error());
        co_return r.error();
    }
    c.pid = *r;
    c.started_at = now();
    if (c.started_before) ++c.restarts;
    c.started_before = true;
    if (c.pid) by_pid_[c.pid] = &c;
    co_return std::nullopt;
}

// Starts children from `first` on that do not run: all of them, or those that wait for somebody else's try although
// nobody has it any more. When one fails it will be tried again, and those after it with it.
task<> supervisor_process::start_from(std::size_t first, whom which) {
    for (std::size_t i = first; i < children_.size();) {
        child_state& c = *children_[i];
        if (which == whom::those_that_wait && c.has_try) co_return; // those after it wait for this one
        if (!c.pid && (which == whom::all_that_are_down || c.restarting)) {
            auto why = co_await start(c);
            if (why) {
                if (which == whom::all_that_are_down) mark_waiting(i);
                try_again_later(c);
                co_return;
            }
            if (!c.pid && c.spec.restart() == genever::restart::temporary) {
                children_.erase(children_.begin() + static_cast<std::ptrdiff_t>(i));
                continue;
            }
        }
        ++i;
    }
}

// As OTP's: a monitor besides the link, for a child may have unlinked itself.
task<> supervisor_process::terminate(child_state& c) {
    call_off(c);
    if (!c.pid) co_return;
    const genever::pid p = c.pid;
    const exit_kind how = c.spec.is_brutal() ? exit_kind::killed : exit_kind::shutdown;
    const process_end end = co_await end_process(p, how, c.spec.shutdown_limit());
    by_pid_.erase(p);
    c.pid = {};
    const bool expected = c.spec.is_brutal() ? end.why == exit_kind::killed
                                             : end.why == exit_kind::shutdown ||
                                                   (end.why == exit_kind::normal &&
                                                    c.spec.restart() != genever::restart::permanent);
    if (end.late)
        report(log::level::error, c.spec.name(), p, "did not end in time and was killed", end.why);
    else if (!expected)
        report(log::level::error, c.spec.name(), p, "ended otherwise than it was asked to", end.why);
}

// The children from `first` on, in reverse order, but not `but`, which has ended. Temporary ones are forgotten, for they
// are never started again.
task<> supervisor_process::terminate_from(std::size_t first, const child_state* but) {
    for (std::size_t i = children_.size(); i-- > first;) {
        child_state& c = *children_[i];
        if (&c == but) continue;
        co_await terminate(c);
        if (c.spec.restart() == genever::restart::temporary)
            children_.erase(children_.begin() + static_cast<std::ptrdiff_t>(i));
    }
}

task<> supervisor_process::terminate(const exit_reason&) { co_await terminate_from(0, nullptr); }

// ---- exits and restarts

task<> supervisor_process::handle(exit_signal s) {
    auto found = by_pid_.find(s.from);
    if (found == by_pid_.end()) co_return; // a stranger's
    child_state& c = *found->second;
    by_pid_.erase(found);
    c.pid = {};
    if (spec_.back_off() && now() - c.started_at >= spec_.back_off()->most) c.failures = 0;
    const genever::restart rule = c.spec.restart();
    if (rule == genever::restart::permanent || (rule == genever::restart::transient && s.reason.abnormal())) {
        if (parent_ends_it()) co_return;
        co_await restart(c, s.from, &s.reason);
        co_return;
    }
    if (s.reason.abnormal()) report(log::level::error, c.spec.name(), s.from, "has ended", s.reason);
    const bool significant = c.spec.is_significant();
    forget_or_keep(c);
    consider_auto_shutdown(significant);
}

// The parent's exit behind those of many children: to start all of these first, only to end them, would take long.
bool supervisor_process::parent_ends_it() {
    const genever::pid parent = genever_launch.parent;
    if (!parent) return false;
    message_ptr m = take_system_message(*current_process(), &is_exit_of, &parent);
    if (!m) return false;
    stop(value_in<exit_signal>(*m)->reason);
    return true;
}

task<> supervisor_process::handle(try_again m) {
    child_state* c = whose_try(m.name, m.number);
    if (!c) co_return;
    co_await restart(*c, {}, nullptr);
}

task<> supervisor_process::handle(try_now m) {
    child_state* c = whose_try(m.name, m.number);
    if (!c) co_return;
    co_await start_again(*c);
}

task<> supervisor_process::handle(start_waiting) {
    const bool somebody_tries = std::ranges::any_of(children_, [](const auto& c) { return c->has_try; });
    if (somebody_tries && spec_.strategy() == strategy::one_for_all) co_return; // that one starts them all
    co_await start_from(0, whom::those_that_wait);
}

// `why` null: another try.
task<> supervisor_process::restart(child_state& c, const genever::pid old, const exit_reason* why) {
    const bool may = intensity_.add(now());
    if (!may) {
        const std::string limit = std::to_string(spec_.max_restarts()) + " within " + seconds(spec_.period());
        report(log::level::error, c.spec.name(), old, "needs more restarts than " + limit + ": giving up",
               why ? *why : exit_reason{exit_kind::error});
        call_off(c);
        forget_or_keep(c);
        stop(exit_reason::shutdown(reached_max_restart_intensity));
        co_return;
    }
    const duration wait = delay_of(c);
    if (why && log::enabled(log::level::warning))
        report(log::level::warning, c.spec.name(), old,
               "is restarted (" + std::to_string(intensity_.recent()) + " of " +
                   std::to_string(spec_.max_restarts()) + " within " + seconds(spec_.period()) + ") " +
                   (wait > duration::zero() ? seconds(wait) : std::string{}) + " after its end",
               *why);
    if (wait > duration::zero()) {
        if (spec_.strategy() != strategy::one_for_one) {
            co_await terminate_from(first_concerned(c), &c);
            mark_waiting(first_concerned(c));
        }
        put_off(c, wait);
        co_return;
    }
    co_await start_again(c);
}

// What a restart does once it is due.
task<> supervisor_process::start_again(child_state& c) {
    if (spec_.strategy() == strategy::one_for_one) {
        auto failed = co_await start(c);
        if (failed) try_again_later(c);
        co_return;
    }
    co_await terminate_from(first_concerned(c), &c);
    co_await start_from(first_concerned(c), whom::all_that_are_down);
}

std::size_t supervisor_process::first_concerned(const child_state& c) const noexcept {
    return spec_.strategy() == strategy::rest_for_one ? index_of(c) : 0;
}

duration supervisor_process::delay_of(child_state& c) noexcept {
    if (!spec_.back_off()) return {};
    c.failures += c.failures < 1000; // by then the delay has been the longest for long
    const double random =
        static_cast<double>(random_number(*current_process()) >> 11) * 0x1p-53; // from 0 to 1
    return spec_.back_off()->delay(c.failures, random);
}

void supervisor_process::forget_or_keep(child_state& c) {
    if (c.spec.restart() != genever::restart::temporary) return;
    children_.erase(children_.begin() + static_cast<std::ptrdiff_t>(index_of(c)));
}

void supervisor_process::consider_auto_shutdown(bool significant) {
    if (!significant || spec_.auto_shutdown() == auto_shutdown::never) return;
    if (spec_.auto_shutdown() == auto_shutdown::all_significant &&
        std::ranges::any_of(
            children_, [](const auto& c) { return c->spec.is_significant() && (c->pid || c->restarting); }))
        return;
    stop(exit_kind::shutdown);
}

void supervisor_process::begin_try(child_state& c) {
    call_off(c);
    c.restarting = c.has_try = true;
}

// No restart of it is to come. A message about one is of the past from now on.
void supervisor_process::call_off(child_state& c) noexcept {
    c.restarting = c.has_try = false;
    ++c.try_number;
    c.next_try.cancel();
    c.next_try = {};
}

// By way of the mailbox, so that exits and requests are seen between two tries.
void supervisor_process::try_again_later(child_state& c) {
    begin_try(c);
    server_ref<supervisor_process>{self()}.cast(try_again{c.spec.name(), c.try_number});
}

void supervisor_process::put_off(child_state& c, duration d) {
    begin_try(c);
    c.next_try = send_after(d, try_now{c.spec.name(), c.try_number});
}

// Those from `first` on that do not run are started with the one that has the try.
void supervisor_process::mark_waiting(std::size_t first) noexcept {
    for (std::size_t i = first; i < children_.size(); ++i)
        if (!children_[i]->pid) children_[i]->restarting = true;
}

supervisor_process::child_state* supervisor_process::whose_try(std::string_view name,
                                                               std::uint64_t number) const noexcept {
    child_state* c = find(name);
    return c && c->has_try && c->try_number == number ? c : nullptr;
}

supervisor_process::child_state* supervisor_process::find(std::string_view name) const noexcept {
    auto i = std::ranges::find_if(children_, [&](const auto& c) { return c->spec.name() == name; });
    return i == children_.end() ? nullptr : i->get();
}

std::size_t supervisor_process::index_of(const child_state& c) const noexcept {
    return static_cast<std::size_t>(std::ranges::find(children_, &c, &std::unique_ptr<child_state>::get) -
                                    children_.begin());
}

// ---- requests

supervisor_process::children_reply supervisor_process::handle(which_children) {
    children_reply r{started_at_, {}};
    r.children.reserve(children_.size());
    for (const auto& c : children_)
        r.children.push_back({c->spec.name(), c->pid, c->spec.type(), c->spec.restart(), c->restarting,
                              c->restarts, c->started_at});
    return r;
}

child_counts supervisor_process::handle(count_children) {
    child_counts n;
    n.specs = children_.size();
    for (const auto& c : children_) {
        if (c->pid) ++n.active;
        ++(c->spec.type() == child_type::supervisor ? n.supervisors : n.workers);
    }
    return n;
}

namespace {

using what = child_error::what;

std::unexpected<child_error> refusal(what kind, genever::pid p = {}, exit_reason why = {}) {
    return std::unexpected(child_error{kind, p, std::move(why)});
}

} // namespace

auto supervisor_process::handle(start_child m) -> task<start_child::reply> {
    if (child_state* c = find(m.spec.name())) {
        if (c->pid) co_return refusal(what::already_started, c->pid);
        if (c->restarting) co_return refusal(what::restarting);
        co_return refusal(what::already_present);
    }
    if (auto flaw = flaw_of(m.spec, spec_)) co_return refusal(what::bad_spec, {}, *flaw);
    auto made = std::make_unique<child_state>(std::move(m.spec));
    child_state& c = *made;
    children_.push_back(std::move(made));
    auto why = co_await start(c);
    const genever::pid p = c.pid;
    if (why || (!p && c.spec.restart() == genever::restart::temporary)) children_.pop_back();
    if (why) co_return refusal(what::start_failed, {}, *why);
    co_return p;
}

auto supervisor_process::handle(terminate_child m) -> task<terminate_child::reply> {
    child_state* c = find(m.name);
    if (!c) co_return refusal(what::not_found);
    const bool had_try = c->has_try;
    co_await terminate(*c);
    forget_or_keep(*c);
    // Its siblings were waiting for its restart: they are not to wait for ever.
    if (had_try && spec_.strategy() != strategy::one_for_one)
        server_ref<supervisor_process>{self()}.cast(start_waiting{});
    co_return terminate_child::reply{};
}

auto supervisor_process::handle(restart_child m) -> task<restart_child::reply> {
    child_state* c = find(m.name);
    if (!c) co_return refusal(what::not_found);
    if (c->pid) co_return refusal(what::running, c->pid);
    if (c->restarting) co_return refusal(what::restarting);
    auto why = co_await start(*c);
    if (why) co_return refusal(what::start_failed, {}, *why);
    co_return c->pid;
}

auto supervisor_process::handle(delete_child m) -> delete_child::reply {
    child_state* c = find(m.name);
    if (!c) return refusal(what::not_found);
    if (c->pid) return refusal(what::running, c->pid);
    if (c->restarting) return refusal(what::restarting);
    children_.erase(children_.begin() + static_cast<std::ptrdiff_t>(index_of(*c)));
    return {};
}

} // namespace genever::detail
