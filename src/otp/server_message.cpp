// Requests: their failure, and what becomes of those that nobody answered.
#include <genever/otp/detail/server_core.hpp>
#include <genever/otp/detail/server_message.hpp>

#include <exception>

namespace genever::detail {

void fail(request& q, call_failure kind, const exit_reason& why) noexcept {
    call_slot_base* slot = std::exchange(q.slot, nullptr);
    if (!slot || !claim(q.ticket)) return;
    slot->state = call_slot_base::outcome::failed;
    slot->failure = kind;
    slot->why = why;
    release_claim(*q.ticket.p);
}

void drop_server_message(message* m, const exit_reason& why) noexcept {
    const server_message_type& type = server_type_of(*m);
    if (type.is_request)
        fail(static_cast<request&>(*m),
             why == exit_kind::noproc       ? call_failure::noproc
             : why == exit_kind::overloaded ? call_failure::overloaded
                                            : call_failure::exited,
             why);
    type.destroy(m);
}

namespace {

bool is_being_killed(process& p) noexcept {
    spin_guard g{p.lock};
    return p.killed;
}

} // namespace

void let_go(message* m) noexcept {
    if (process* p = current_process(); p && is_being_killed(*p)) {
        p->mail.push_back(m);
        return;
    }
    if (is_server_message(*m) && server_type_of(*m).is_request)
        fail(static_cast<request&>(*m), call_failure::no_reply, {});
    m->type->drop(m, exit_kind::normal);
}

deferred_request::deferred_request(request* q, server_core* core) noexcept
    : q_(q), core_(core), server_(genever::self()) {}

void deferred_request::done() noexcept {
    if (request* q = std::exchange(q_, nullptr)) server_type_of(*q).destroy(q);
}

void deferred_request::drop() noexcept {
    request* q = std::exchange(q_, nullptr);
    if (!q) return;
    // An exception that flies may be the server's end, and then that is what the caller shall hear of.
    if (std::uncaught_exceptions() > 0 && genever::self() == server_)
        core_->genever_orphans.push_back(q);
    else
        let_go(q);
}

} // namespace genever::detail
