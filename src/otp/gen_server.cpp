// A server's loop, its start and its end.
//
//     begin_launch -> construct, init -> acknowledge -> messages, one at a time -> terminate -> exit_now
//
// The end is always exit_now, which destroys the frames with the reason known to the runtime: the request that was being
// handled and those that were deferred go back into the mailbox (let_go), and fail with that reason.
#include <genever/otp/gen_server.hpp>

#include "system_wait.hpp"

#include <genever/base/demangle.hpp>
#include <genever/base/log.hpp>
#include <genever/otp/via_name.hpp>
#include <genever/runtime/receive.hpp>

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

class next_message : public receive_wait {
public:
    next_message() noexcept : receive_wait(nullptr, 0) {}
    ~next_message() {
        if (message_ptr m = take_result()) let_go(m.release());
    }
    bool await_ready() { return ready(); }
    message* await_resume() noexcept { return take_result().release(); }
};

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
    message& raw = *m.get();
    if (is_server_message(raw)) {
        const server_message_type& type = server_type_of(raw);
        if (type.server == c.tag) return type.handle(m, core.genever_server);
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

server_core::~server_core() { end_orphans(genever_orphans); }

bool begin_launch(const launch& l) {
    if (l.via) {
        const auto refused = l.via->register_self();
        if (refused) post_ack(l.starter, refused);
        return !refused;
    }
    if (l.name.empty() || register_name(l.name, self())) return true;
    post_ack(l.starter, exit_reason::error("already started: the name " + l.name + " belongs to " +
                                           to_string(whereis(l.name))));
    return false;
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
        held_message m{co_await next_message{}};
        task<> work; // beyond the catch: what it holds of requests must outlive the handler's exception
        std::optional<exit_reason> crash;
        try {
            work = dispatch(core, m);
            co_await std::move(work);
        } catch (...) {
            crash = exit_reason::from_exception(std::current_exception());
        }
        if (crash) co_await end_server(core, *crash);
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

task<std::expected<pid, exit_reason>> await_start(pid child, monitor_ref ref) {
    const start_wait context{child, ref};
    message_ptr m = co_await system_wait{&concerns_start, &context, time_point::max()};
    if (auto* a = value_in<start_ack>(*m)) {
        if (ref != monitor_ref{}) demonitor(ref);
        if (a->refused) co_return std::unexpected(*a->refused);
        co_return child;
    }
    if (auto* s = value_in<exit_signal>(*m)) co_return std::unexpected(s->reason);
    co_return std::unexpected(value_in<down>(*m)->reason);
}

} // namespace genever::detail
