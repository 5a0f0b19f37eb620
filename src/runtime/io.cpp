#include <genever/runtime/io.hpp>

#include "poller.hpp"
#include "runtime_core.hpp"

#include <genever/runtime/timeout.hpp>

#include <unistd.h>

namespace genever {

using namespace detail;

io_handle::io_handle(int fd, io_file file) {
    io_slot* s = nullptr;
    try {
        s = take_io_slot();
        {
            spin_guard g{s->lock};
            ++s->generation;
            s->read_edge = s->write_edge = s->read_closed = s->write_closed = s->shut = s->nudged =
                s->stamped = false;
            s->shared_file = file == io_file::shared;
            s->reader = s->writer = {};
            s->on_hangup = nullptr;
            s->readable_at.store(0, std::memory_order_relaxed);
            s->fd = fd;
        }
        next_poller().add(*s);
        slot_ = s;
    } catch (...) {
        ::close(fd);
        if (s) {
            {
                spin_guard g{s->lock};
                s->fd = -1;
            }
            give_io_slot(s);
        }
        throw;
    }
}

io_handle::~io_handle() {
    if (!slot_) return;
    shut();
    int fd;
    bool shared_file;
    {
        spin_guard g{slot_->lock};
        shared_file = slot_->shared_file;
        fd = std::exchange(slot_->fd, -1);
    }
    if (shared_file) slot_->home->take_out(fd);
    ::close(fd); // takes it out of the poller, too, where nobody else holds this open file
    slot_->home->removed();
    give_io_slot(slot_);
}

int io_handle::fd() const noexcept { return slot_ ? slot_->fd : -1; }

void io_handle::shut() noexcept {
    wait_ticket reader;
    wait_ticket writer;
    {
        spin_guard g{slot_->lock};
        slot_->shut = true;
        reader = std::exchange(slot_->reader, {});
        writer = std::exchange(slot_->writer, {});
    }
    if (reader.p) wake(reader, wake_reason::closed);
    if (writer.p) wake(writer, wake_reason::closed);
}

void io_handle::nudge() noexcept { detail::nudge(*slot_); }

void detail::nudge(io_slot& s) noexcept {
    for (;;) {
        wait_ticket reader;
        {
            spin_guard g{s.lock};
            reader = std::exchange(s.reader, {});
            if (!reader.p) {
                s.nudged = true;
                return;
            }
        }
        if (wake(reader, wake_reason::closed))
            return; // else that wait had ended by itself: the nudge is for the next
    }
}

time_point io_handle::readable_since() const noexcept {
    return time_point{duration{slot_->readable_at.load(std::memory_order_relaxed)}};
}

void io_handle::call_off_on_hangup(hangup_watch& w) noexcept {
    spin_guard g{slot_->lock};
    w.slot = slot_;
    slot_->on_hangup = &w;
    slot_->look_after_hangup(); // nobody is to be pushed: its process runs here
}

// The call is marked under the lock: whoever takes it back afterwards has seen it.
process* io_slot::look_after_hangup() noexcept {
    hangup_watch* const w = on_hangup;
    if (!w || w->gone || !(write_closed || (read_closed && w->half_close_too))) return nullptr;
    const called_off done = call_off_for_peer(w->process_and_use, w->scope_number);
    w->gone = done.in_time;
    return done.to_push;
}

void io_handle::keep_on_hangup() noexcept {
    spin_guard g{slot_->lock};
    if (hangup_watch* const w = std::exchange(slot_->on_hangup, nullptr); w && std::exchange(w->gone, false))
        forget_peer_gone(w->process_and_use, w->scope_number);
}

// Slots are never given back, so this one is there even where its handle is not.
void hangup_watch::end() noexcept {
    if (!slot) return;
    spin_guard g{slot->lock};
    if (slot->on_hangup == this) slot->on_hangup = nullptr;
    slot = nullptr;
}

bool io_handle::hung_up() const noexcept {
    spin_guard g{slot_->lock};
    return slot_->read_closed;
}

io_handle::wait_awaiter::~wait_awaiter() {
    const bool parked = timer_.ticket.p != nullptr;
    if (!parked && !over_) return;
    // Destroyed before it could go on. An edge, or a nudge, may have ended the wait already: whoever waits next must look
    // for himself.
    if (parked) leave();
    spin_guard g{slot_->lock};
    slot_->note_edge(write_);
    if (!write_ && nudged()) slot_->nudged = true;
}

// Whether somebody's word, not the descriptor, has ended the wait. (`shut` is found again by whoever waits next.)
bool io_handle::wait_awaiter::nudged() const noexcept {
    const process* const parked = timer_.ticket.p;
    return parked ? parked->reason == wake_reason::closed : result_ == io_result::closed;
}

void io_handle::wait_awaiter::leave() noexcept {
    disarm(timer_);
    spin_guard g{slot_->lock};
    wait_ticket& mine = write_ ? slot_->writer : slot_->reader;
    if (mine.p == timer_.ticket.p && mine.token == timer_.ticket.token) mine = {};
}

bool io_handle::wait_awaiter::await_ready() noexcept {
    if (!may_continue(require_process("waiting for a descriptor"))) return false;
    spin_guard g{slot_->lock};
    return look();
}

// Under the slot's lock: whether the wait is over already.
bool io_handle::wait_awaiter::look() noexcept {
    io_slot& s = *slot_;
    if (s.shut || (!write_ && s.nudged)) {
        if (!write_) s.nudged = false;
        result_ = io_result::closed;
        over_ = true;
        return true;
    }
    if (write_ ? !s.write_edge && !s.write_closed : !s.read_edge && !s.read_closed) return false;
    if (write_)
        s.write_edge = false;
    else
        s.read_edge = false;
    over_ = true;
    return true;
}

void io_handle::wait_awaiter::suspend(process& p, std::coroutine_handle<> h) noexcept {
    {
        spin_guard g{slot_->lock};
        if (look()) { // only its budget was used up
            requeue(p, h);
            return;
        }
        timer_.ticket = prepare_park(p, h);
        (write_ ? slot_->writer : slot_->reader) = timer_.ticket;
        if (!write_) slot_->stamped = false;
    }
    const time_point deadline{duration{timer_.deadline}};
    if (deadline != time_point::max()) arm(timer_, deadline);
}

io_result io_handle::wait_awaiter::await_resume() noexcept {
    over_ = false; // it goes on: the destructor has nothing left to do
    const process* const parked = timer_.ticket.p;
    if (!parked) return result_;
    const wake_reason why = parked->reason;
    leave();
    timer_.ticket = {};
    switch (why) {
    case wake_reason::timeout: return io_result::timeout;
    case wake_reason::closed: return io_result::closed;
    case wake_reason::called_off:
    case wake_reason::ready: break;
    }
    return io_result::ready;
}

} // namespace genever
