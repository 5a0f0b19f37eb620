#include "server_state.hpp"

#include <genever/otp/run.hpp>
#include <genever/runtime/process.hpp>
#include <genever/runtime/stats.hpp>
#include <genever/runtime/time.hpp>

#include <algorithm>
#include <random>

namespace genever::http {

using detail::spin_guard;

namespace {
std::uint64_t seed() {
    std::random_device d;
    return std::uint64_t{d()} << 32 | d();
}
} // namespace

server_state::server_state(server_options o)
    : options(std::move(o)),
      admission(options.admission, options.stats ? options.stats : std::make_shared<server_stats>(), seed()),
      port(options.port) {}

std::expected<server_state::presence, refusal>
server_state::enter(const std::shared_ptr<server_state>& server, client_key client) {
    using enum connection_limits::verdict;
    server->admission.count_accepted();
    auto verdict = too_many;
    {
        spin_guard g{server->lock_};
        connection_limits& limits = server->admission.connections;
        verdict = limits.enter(client);
        server->admission.connections_are(limits.count());
        if (limits.count() != 0 && !server->self_) server->self_ = server;
    }
    if (verdict == too_many || verdict == too_many_of_client) {
        const refusal why = verdict == too_many ? refusal::connections : refusal::client_connections;
        server->admission.count(why);
        return std::unexpected(why);
    }
    return presence{*server, client, verdict == admitted_in_reserve};
}

server_state::presence::~presence() {
    if (!server_) return;
    pid tell;
    std::shared_ptr<server_state> last; // goes after the lock
    {
        spin_guard g{server_->lock_};
        connection_limits& limits = server_->admission.connections;
        limits.leave(client_, in_reserve_);
        server_->admission.connections_are(limits.count());
        if (limits.count() == 0) {
            tell = server_->waits_for_drain_;
            last = std::move(server_->self_);
        }
    }
    if (tell) send(tell, drained{});
}

server_state::member::member(presence p) : counted_(std::move(p)) {
    server_state& s = server();
    spin_guard g{s.lock_};
    next_ = s.first_;
    if (next_) next_->previous_ = this;
    s.first_ = this;
}

server_state::member::~member() {
    server_state& s = server();
    spin_guard g{s.lock_};
    (previous_ ? previous_->next_ : s.first_) = next_;
    if (next_) next_->previous_ = previous_;
}

// Either this sees the drain, or the drain sees the wait: both write first and read then, in one order for all. (No lock: every
// request passes here, on all workers.)
bool server_state::member::begin_wait() noexcept {
    waiting_.store(true, std::memory_order_seq_cst);
    return server().draining.load(std::memory_order_seq_cst);
}

void server_state::open() {
    admission.served_by(stats().workers);
    spin_guard g{lock_};
    draining.store(false, std::memory_order_relaxed);
    waits_for_drain_ = {};
}

void server_state::drain(pid who) {
    bool none;
    const duration grace =
        being_replaced() ? std::min(options.handover_grace, options.drain_timeout / 2) : duration{0};
    const time_point idle_until = later(now(), grace);
    {
        spin_guard g{lock_};
        idle_until_.store(idle_until.time_since_epoch().count(), std::memory_order_relaxed);
        draining.store(true, std::memory_order_seq_cst);
        waits_for_drain_ = who;
        none = admission.connections.count() == 0;
        for (member* m = first_; m; m = m->next_)
            if (m->waiting_.load(std::memory_order_seq_cst))
                m->stream_.io().nudge(); // one too many does no harm
    }
    if (none) send(who, drained{});
}

std::size_t server_state::connections() noexcept {
    spin_guard g{lock_};
    return admission.connections.count();
}

} // namespace genever::http
