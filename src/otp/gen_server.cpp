// A server's loop, its start and its end.
//
//     take_name -> construct, init -> acknowledge -> messages, one at a time -> terminate -> exit_now
//
// The next message is, in this order: a continue, what came while the server was suspended, the mailbox's first.
// Suspended, it takes from the mailbox what is sys's, exits and downs, and of these obeys its parent's exit alone.
//
// The end is always exit_now, which destroys the frames with the reason known to the runtime: the request that was being
// handled and those that were deferred go back into the mailbox (let_go), and fail with that reason.
#include <genever/otp/gen_server.hpp>

#include "system_wait.hpp"

#include <genever/base/demangle.hpp>
#include <genever/base/log.hpp>
#include <genever/otp/detail/sys_request.hpp>
#include <genever/otp/via_name.hpp>
#include <genever/runtime/crash_report.hpp>
#include <genever/runtime/receive.hpp>
#include <genever/runtime/time.hpp>

#include <chrono>
#include <exception>
#include <iterator>
#include <optional>
#include <utility>

namespace genever::detail {

namespace {

/// A starting process's word to its starter.
struct start_ack {
    pid from;
    std::optional<exit_reason> refused;
};

void post_ack(pid starter, std::optional<exit_reason> refused) {
    if (starter)
        post_system(starter, new_message<value_message<start_ack>>(start_ack{self(), std::move(refused)}));
}

pid holder_of_name(const launch& l) { return l.via ? l.via->whereis() : whereis(l.name); }

/// Nothing: the calling process has its name.
std::optional<exit_reason> claim_name(const launch& l) {
    if (l.via) return l.via->register_self();
    if (l.name.empty() || register_name(l.name, self())) return {};
    return exit_reason::error("already started: the name " + l.name + " belongs to " +
                              to_string(whereis(l.name)));
}

/// Gives the message, or null at the timeout.
template <class Wait>
class next_by : public Wait {
public:
    using Wait::Wait;
    ~next_by() {
        if (message_ptr m = this->take_result()) let_go(m.release());
    }
    bool await_ready() { return this->ready(); }
    message* await_resume() noexcept { return this->take_result().release(); }
};
using next_message = next_by<receive_wait>;
using next_message_within = next_by<timed_receive_wait>;

// As long as a child has to end unless it is told otherwise.
constexpr duration orphans_time = std::chrono::seconds{5};
// Then it is killed, and has so long to be gone.
constexpr duration killed_orphans_time = std::chrono::seconds{1};

constexpr const message_type* while_suspended[] = {
    &sys_request::type_of, &value_message<exit_signal>::type_of, &value_message<down>::type_of};

bool is_parents_exit(const server_core& core, const message& m) noexcept {
    auto* s = value_in<exit_signal>(m);
    return s && core.genever_launch.parent && s->from == core.genever_launch.parent;
}

std::string describe(const server_core& core) {
    std::string s = core.genever_launch.name;
    if (s.empty()) s = demangle(*core.genever_callbacks->tag->type);
    return s + ' ' + to_string(self());
}

void log_unexpected(const server_core& core, const message& m) noexcept {
    try {
        std::string text = describe(core) + " received an unexpected message: " + demangle(*m.type->payload);
        if (auto* s = value_in<exit_signal>(m))
            text += " from " + to_string(s->from) + ": " + to_string(s->reason);
        if (auto* d = value_in<down>(m)) text += " of " + to_string(d->pid) + ": " + to_string(d->reason);
        log::write(log::level::warning, text);
    } catch (...) {
        // Without memory there is no log line.
    }
}

task<> dispatch(server_core& core, held_message& m) {
    const server_callbacks& c = *core.genever_callbacks;
    if (m.get() == nullptr) return c.on_idle(core.genever_server);
    message& raw = *m.get();
    if (is_server_message(raw)) {
        const server_message_type& type = server_type_of(raw);
        if (type.server == c.tag) return type.handle(m, core.genever_server);
        if (type.server == &sys_tag) {
            auto& q = static_cast<sys_request&>(raw);
            q.run(q, core);
            return {};
        }
        if (type.is_request) fail(static_cast<request&>(raw), call_failure::wrong_server, {});
    } else if (raw.type == &value_message<exit_signal>::type_of) {
        auto& s = static_cast<value_message<exit_signal>&>(raw).value;
        if (core.genever_launch.parent && s.from == core.genever_launch.parent) {
            core.genever_stop = std::move(s.reason);
            return {};
        }
        if (c.on_exit) return c.on_exit(core.genever_server, std::move(s));
    } else if (raw.type == &value_message<down>::type_of) {
        if (c.on_down)
            return c.on_down(core.genever_server, std::move(static_cast<value_message<down>&>(raw).value));
    }
    log_unexpected(core, raw);
    return {};
}

/// What a plain handler has thrown, or null; a coroutine is left in `work`. A function of its own, since the unwinder reads
/// each function's table from its beginning: that of a loop full of awaits is long.
[[gnu::noinline]] std::exception_ptr begin_to_handle(server_core& core, held_message& m,
                                                     task<>& work) noexcept {
    try {
        work = dispatch(core, m);
        return nullptr;
    } catch (...) {
        return std::current_exception();
    }
}

/// Awaits a task and gives the exception that has left it, or null: to throw it once more would cost as much again.
struct end_of : task<>::awaiter {
    explicit end_of(task<>& work) noexcept : awaiter(std::move(work).operator co_await()) {}
    std::exception_ptr await_resume() const noexcept {
        return frame ? std::exchange(frame.promise().error, nullptr) : nullptr;
    }
};

void end_orphans(message_list& l) noexcept {
    while (!l.empty()) let_go(l.pop_front());
}

task<> end_server(server_core& core, exit_reason why) {
    if (core.genever_callbacks->terminate) {
        try {
            co_await core.genever_callbacks->terminate(core.genever_server, why);
        } catch (...) {
            why = exit_reason::from_exception(std::current_exception());
        }
    }
    co_await exit_now{std::move(why)};
}

struct start_wait {
    pid child;
    monitor_ref ref;
};

bool concerns_start(const message& m, const void* context) noexcept {
    const auto& w = *static_cast<const start_wait*>(context);
    if (auto* a = value_in<start_ack>(m)) return a->from == w.child;
    if (auto* s = value_in<exit_signal>(m)) return s->from == w.child && w.ref == monitor_ref{};
    if (auto* d = value_in<down>(m)) return d->ref == w.ref;
    return false;
}

} // namespace

server_core::~server_core() {
    end_orphans(genever_orphans);
    end_orphans(genever_next);
    end_orphans(genever_deferred);
}

bool take_name(const launch& l) { return !claim_name(l); }

// A supervisor that was killed is restarted at once, but its children have only been told to end, and may be busy. That they
// have their names still is no reason to give up.
task<bool> take_name_of_orphan(const launch& l) {
    time_point deadline = later(now(), orphans_time);
    bool killed = false;
    for (;;) {
        const pid holder = holder_of_name(l);
        if (is_orphan(holder)) {
            const monitor_ref ref = monitor(holder);
            message_ptr gone = co_await system_wait{&is_down_of, &ref, deadline};
            if (!gone) demonitor(ref);
        }
        std::optional<exit_reason> refused = claim_name(l);
        if (!refused) co_return true;
        const pid now_holder = holder_of_name(l);
        const bool orphaned = now_holder && is_orphan(now_holder);
        if (orphaned && now() >= deadline && !killed) { // as a supervisor does with a child that does not end
            killed = true;
            exit(now_holder, exit_kind::killed);
            deadline = later(now(), killed_orphans_time);
            continue;
        }
        if (now() < deadline && (orphaned || !now_holder)) continue;
        post_ack(l.starter, std::move(refused));
        co_return false;
    }
}

void acknowledge(const launch& l) { post_ack(l.starter, {}); }

void refuse(const launch& l, const exit_reason& why) {
    if (l.via)
        l.via->unregister_self();
    else if (!l.name.empty())
        unregister_name(l.name);
    post_ack(l.starter, why);
}

task<> serve(server_core& core) {
    if (core.genever_stop) {
        refuse(core.genever_launch, *core.genever_stop);
        co_await exit_now{*core.genever_stop};
    }
    acknowledge(core.genever_launch);
    for (;;) {
        message* next = nullptr;
        if (!core.genever_next.empty()) {
            next = core.genever_next.pop_front();
        } else if (core.genever_suspended) {
            next = co_await next_message{while_suspended, std::size(while_suspended)};
            if (next->type != &sys_request::type_of && !is_parents_exit(core, *next)) {
                core.genever_deferred.push_back(next);
                continue;
            }
        } else if (!core.genever_deferred.empty()) {
            next = core.genever_deferred.pop_front();
        } else if (core.genever_idle_after == server_core::no_idle_timeout) {
            next = co_await next_message{nullptr, std::size_t{0}};
        } else {
            next = co_await next_message_within{nullptr, std::size_t{0}, core.genever_idle_after};
        }
        held_message m{next};
        if (!next || next->type != &sys_request::type_of)
            core.genever_idle_after = server_core::no_idle_timeout;
        task<> work; // beyond the catch: what it holds of requests must outlive the handler's exception
        const std::type_info* const handled = next ? next->type->payload : nullptr;
        std::exception_ptr thrown = begin_to_handle(core, m, work);
        if (!thrown) {
            std::exception_ptr later = co_await end_of{work};
            thrown = std::move(later);
        }
        if (thrown) {
            if (handled) note_last_message(*handled);
            exit_reason why = exit_reason::from_exception(thrown);
            thrown = nullptr; // the reason's alone from here on
            co_await end_server(core, std::move(why));
        }
        m.done();
        end_orphans(core.genever_orphans);
        if (core.genever_stop) co_await end_server(core, *core.genever_stop);
    }
}

void exit_now::suspend(process& p, std::coroutine_handle<> h) {
    trap_exit(false);
    const pid me = pid_of(p);
    exit_process(me, me, std::move(why_));
    prepare_park(p, h); // the worker finds the kill before it parks
}

// Who is refused is gone when the starter goes on, with its names, and the link leaves no exit signal behind, as since OTP
// 26. The signal of a link comes before the down of a monitor.
task<std::expected<pid, exit_reason>> await_start(pid child, monitor_ref ref) {
    const start_wait context{child, ref};
    message_ptr m = co_await system_wait{&concerns_start, &context, time_point::max()};
    if (auto* a = value_in<start_ack>(*m)) {
        const bool linked = ref == monitor_ref{};
        if (!a->refused) {
            if (!linked) demonitor(ref);
            co_return child;
        }
        const monitor_ref end = linked ? monitor(child) : ref;
        message_ptr over = co_await system_wait{&is_down_of, &end, time_point::max()};
        if (linked) take_system_message(*current_process(), &is_exit_of, &child);
        co_return std::unexpected(*a->refused);
    }
    if (auto* s = value_in<exit_signal>(*m)) co_return std::unexpected(s->reason);
    co_return std::unexpected(value_in<down>(*m)->reason);
}

} // namespace genever::detail
