// A process from its birth to its end, and what other threads do to it meanwhile.
#include <genever/runtime/process.hpp>

#include "arena.hpp"
#include "bounded_mailbox.hpp"
#include "signals.hpp"

#include <cstddef>
#include <cstdlib>
#include <stdexcept>

#if defined(__SANITIZE_ADDRESS__)
#define GENEVER_ADDRESS_SANITIZED 1
#elif defined(__SANITIZE_THREAD__)
#define GENEVER_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define GENEVER_ADDRESS_SANITIZED 1
#elif __has_feature(thread_sanitizer)
#define GENEVER_SANITIZED 1
#endif
#endif
#ifdef GENEVER_ADDRESS_SANITIZED
#define GENEVER_SANITIZED 1
extern "C" { // of <sanitizer/asan_interface.h>, which not every installation of Clang has
void __asan_poison_memory_region(const volatile void* at, std::size_t size);
void __asan_unpoison_memory_region(const volatile void* at, std::size_t size);
}
#endif

namespace genever {

namespace detail {

namespace {

// Where the next frame made on this thread goes if it fits, and how much fits there.
thread_local process* newborn = nullptr;
thread_local std::size_t newborn_room = 0;

#ifdef GENEVER_SANITIZED
// The sanitizers know the heap better than our cells: one that is free lies in quarantine for long, a cell is used again at
// once. So that this way is seen by them as well, tests ask for it.
const bool frames_in_cells = std::getenv("GENEVER_FRAMES_IN_CELLS") != nullptr;
#else
constexpr bool frames_in_cells = true;
#endif

// What nobody may touch: what lay behind a process in its cell, and does not any more.
#ifdef GENEVER_ADDRESS_SANITIZED
void forbid(void* room, std::size_t size) noexcept { __asan_poison_memory_region(room, size); }
void allow(void* room, std::size_t size) noexcept { __asan_unpoison_memory_region(room, size); }
#else
void forbid(void*, std::size_t) noexcept {}
void allow(void*, std::size_t) noexcept {}
#endif

void give_cell(process& p) noexcept {
    forbid(p.frame_storage(), frame_room);
    the_cells.give(&p);
}

} // namespace

void* allocate_frame(std::size_t size) {
    if (process* p = newborn) {
        newborn = nullptr;
        if (frames_in_cells && size <= newborn_room) {
            p->guest.store(cell_guest::other, std::memory_order_relaxed); // until it proves to be the root
            return p->frame_storage();
        }
    }
    return pool_allocate(size);
}

void free_frame(void* frame, std::size_t size) noexcept {
    if (!frames_in_cells || size > frame_room || !the_cells.contains(frame)) {
        pool_free(frame, size);
        return;
    }
    auto* p = reinterpret_cast<process*>(static_cast<char*>(frame) - sizeof(process));
    forbid(frame, size);
    if (p->guest.load(std::memory_order_relaxed) == cell_guest::none) return; // the root: the cell is its own
    // acq_rel: whoever comes second, this or `leave_cell`, gives the cell back, and has seen what the first did
    if (p->guest.exchange(cell_guest::none, std::memory_order_acq_rel) == cell_guest::abandoned)
        give_cell(*p);
}

namespace {

/// Gives the cell of a process that has ended back, or leaves that to the frame that still lives in it.
void leave_cell(process& p) noexcept {
    if (p.guest.load(std::memory_order_relaxed) != cell_guest::none &&
        p.guest.exchange(cell_guest::abandoned, std::memory_order_acq_rel) == cell_guest::other)
        return;
    p.guest.store(cell_guest::none, std::memory_order_relaxed);
    give_cell(p);
}

} // namespace

process* find_block(pid p) noexcept {
    process* const block = p ? the_cells.at(p.slot()) : nullptr;
    return block && block->generation == p.generation() ? block : nullptr;
}

pid pid_of(const process& p) noexcept { return {the_cells.slot_of(p), p.generation}; }

process& require_process(const char* what) {
    if (process* p = current_process()) return *p;
    throw std::logic_error(std::string{"genever: "} + what + " is possible inside a process only");
}

runtime_core& require_core(const char* what) {
    if (thread_state* t = this_thread(); t && !t->outside) return *t->core;
    throw std::logic_error(std::string{"genever: "} + what +
                           " is possible inside a runtime only: use runtime::spawn or runtime::run");
}

poller& next_poller() { return require_core("registering a descriptor").spread().poll; }

rare_extras::rare_extras() noexcept = default;
rare_extras::~rare_extras() = default;

process_extras& extras_of(process& p) {
    if (!p.extras) p.extras = new process_extras;
    return *p.extras;
}

rare_extras& rare_extras_of(process& p) {
    process_extras& x = extras_of(p);
    if (!x.rare) x.rare.reset(new rare_extras);
    return *x.rare;
}

// ---- suspension and wake

void cancel_park(process& p) noexcept {
    spin_guard g{p.lock};
    ++p.token;
    p.wake_pending = false;
    p.asked = parking::none;
    p.resume_point = nullptr;
}

bool consume(process& p, wake_reason why) noexcept {
    ++p.token;
    p.reason = why;
    p.wants = mail_wanted::none;
    if (p.state.load(std::memory_order_relaxed) == run_state::parked) {
        p.state.store(run_state::ready, std::memory_order_relaxed);
        return true;
    }
    p.wake_pending = true;
    return false;
}

bool wake(wait_ticket t, wake_reason why) noexcept {
    if (t.p->token != t.token)
        return false; // a look without the lock: it never becomes the present one again
    bool push;
    {
        spin_guard g{t.p->lock};
        if (t.p->token != t.token) return false;
        push = consume(*t.p, why);
    }
    if (push) push_ready(*t.p);
    return true;
}

bool claim(wait_ticket t, wake_reason why) noexcept {
    if (t.p->token != t.token) return false;
    spin_guard g{t.p->lock};
    if (t.p->token != t.token) return false;
    // Its suspension is about to be destroyed: what it would be given would be lost.
    if (t.p->killed || t.p->interrupted) return false;
    ++t.p->token;
    t.p->reason = why;
    t.p->claimed = true;
    return true;
}

void release_claim(process& p) noexcept {
    bool push = false;
    {
        spin_guard g{p.lock};
        p.claimed = false;
        if (p.state.load(std::memory_order_relaxed) == run_state::parked) {
            p.state.store(run_state::ready, std::memory_order_relaxed);
            push = true;
        } else {
            p.wake_pending = true;
        }
    }
    if (push) push_ready(p);
}

// ---- mailboxes

namespace {

/// Under p's lock, for a mailbox without a limit. True when p has to be pushed.
bool deliver_unbounded(process& p, message* m) noexcept {
    ++p.arrived;
    if (p.wants == mail_wanted::any) { // parked, and nothing lies in the inbox: its mail is ours to touch
        p.mail.push_back(m);
        return consume(p, wake_reason::ready);
    }
    p.inbox.push_back(m);
    p.mailbox_news.store(p.mailbox_news.load(std::memory_order_relaxed) | user_news,
                         std::memory_order_relaxed);
    return false;
}

// Inline: every message goes through here.
[[gnu::always_inline]] inline delivery hand_over(pid to, message* m, waiting_send* w) noexcept {
    process* p = find_block(to);
    if (!p) return {send_result::noproc, false, m};
    delivery d{send_result::delivered};
    {
        spin_guard g{p->lock};
        if (!alive(*p, to)) return {send_result::noproc, false, m};
        if (is_bounded(*p)) [[unlikely]]
            d = deliver_bounded(*p, m, w);
        else
            d.push = deliver_unbounded(*p, m);
    }
    if (d.push) push_ready(*p);
    return d;
}

} // namespace

delivery deliver_user(process& p, message* m) noexcept {
    if (is_bounded(p)) return deliver_bounded(p, m, nullptr);
    return {send_result::delivered, deliver_unbounded(p, m)};
}

bool deliver_system(process& p, message* m) noexcept {
    p.system.push_back(m);
    p.mailbox_news.store(p.mailbox_news.load(std::memory_order_relaxed) | system_news,
                         std::memory_order_relaxed);
    return p.wants != mail_wanted::none && consume(p, wake_reason::ready);
}

delivery offer(pid to, message* m) noexcept { return hand_over(to, m, nullptr); }

send_result post(pid to, message* m) noexcept {
    const delivery d = hand_over(to, m, nullptr);
    if (d.left) [[unlikely]]
        drop_left(d);
    return d.result;
}

send_result post_or_wait(pid to, message* m, waiting_send& w) noexcept {
    const delivery d = hand_over(to, m, &w);
    if (d.left) [[unlikely]]
        drop_left(d);
    return d.result;
}

bool post_system(pid to, message* m) noexcept {
    if (process* p = find_block(to)) {
        bool push = false;
        bool taken = false;
        {
            spin_guard g{p->lock};
            if (alive(*p, to)) {
                taken = true;
                push = deliver_system(*p, m);
            }
        }
        if (push) push_ready(*p);
        if (taken) return true;
    }
    m->type->drop(m, exit_kind::noproc);
    return false;
}

void drop_all(message_list& l, const exit_reason& why) noexcept {
    while (!l.empty()) {
        message* m = l.pop_front();
        m->type->drop(m, why);
    }
}

// ---- birth

process_birth::process_birth(runtime_core* home) : p_(nullptr) {
    if (!home) home = &require_core("spawn");
    p_ = the_cells.take();
    allow(p_->frame_storage(), frame_room);
    p_->home = home;
    p_->keeps_call = false;
    p_->lends = false;
    newborn = p_;
    newborn_room = frame_room;
}

process_birth::~process_birth() {
    newborn = nullptr;
    if (!p_) return;
    drop_kept(*p_);
    leave_cell(*p_);
}

// At the cell's end: the kept call (for the sanitizers the address of one in the heap), and how to destroy it.

namespace {

template <class T>
T& at_the_end(process& p, std::size_t before_end) noexcept {
    return *reinterpret_cast<T*>(reinterpret_cast<char*>(&p) + cell_size - before_end);
}

constexpr std::size_t for_drop = sizeof(drop_call);

} // namespace

void* process_birth::make_room(std::size_t size) {
    newborn_room = frame_room - for_drop - size; // of no use where frames are not in cells
    if (frames_in_cells) return &at_the_end<char>(*p_, for_drop + size);
    return at_the_end<void*>(*p_, for_drop + sizeof(void*)) = pool_allocate(size);
}

void process_birth::has_kept(drop_call how) noexcept {
    at_the_end<drop_call>(*p_, for_drop) = how;
    p_->keeps_call = true;
}

void* process_birth::room_of_kept(process& p, std::size_t size) noexcept {
    if (frames_in_cells) return &at_the_end<char>(p, for_drop + size);
    return at_the_end<void*>(p, for_drop + sizeof(void*));
}

void process_birth::leave_room(process& p, std::size_t size) noexcept {
    if (!frames_in_cells) pool_free(room_of_kept(p, size), size);
}

void drop_kept(process& p) noexcept {
    if (!p.keeps_call) return;
    p.keeps_call = false;
    at_the_end<drop_call>(p, for_drop)(p);
}

pid process_birth::start(task<> root, const spawn_options* options) {
    newborn = nullptr;
    std::unique_ptr<bounded_mailbox> limit;
    if (options && options->mailbox.capacity != mailbox_limit::unlimited) {
        limit = std::make_unique<bounded_mailbox>();
        set_limit(*limit, options->mailbox);
    }
    if (root.empty()) root = process_main([] {}); // it was done before it began
    process& p = *std::exchange(p_, nullptr);
    const pid id = pid_of(p);
    p.root = root.release();
    if (p.root.address() == p.frame_storage()) p.guest.store(cell_guest::none, std::memory_order_relaxed);
    promise_base& first = p.root.promise();
    first.self = &p;
    first.continuation = nullptr;
    p.attention.store(p.home->is_simulated() ? simulated : 0, std::memory_order_relaxed);
    p.resume_point = p.root;
    p.asked = parking::none;
    p.operations = 0;
    p.arrived = 0;
    p.consumed.store(0, std::memory_order_relaxed);
    if (options) {
        if (process* w = options->watcher ? find_block(options->watcher) : nullptr) {
            spin_guard g{w->lock};
            if (alive(*w, options->watcher)) rare_extras_of(*w).monitoring.insert(options->monitor.value, id);
        }
        const std::int64_t born_at = p.home->now();
        const process* const parent = current_process();
        spin_guard g{p.lock};
        process_extras& x = extras_of(p);
        x.born_at = born_at;
        if (parent) x.parent = pid_of(*parent);
        x.born_linked = options->link && options->link == x.parent;
        x.label = shared_label::for_one_more(options->label);
        x.quiet = options->quiet;
        if (options->trap_exit) p.trap_exit = true;
        if (options->watcher) rare_extras_of(p).watchers.insert(options->monitor.value, options->watcher);
        if (limit) {
            rare_extras_of(p).bounded = std::move(limit);
            p.mailbox_news.store(bounded_mail, std::memory_order_relaxed);
        }
    }
    // release: pairs with the acquire of those who look at all cells (`processes`, `kill_all`); nobody else knows the pid
    p.state.store(run_state::ready, std::memory_order_release);
    p.home->born();
    if (options && options->link) {
        {
            spin_guard g{p.lock};
            extras_of(p).links.insert(options->link, {});
        }
        if (!add_link(options->link, id)) deliver_link_exit(id, options->link, exit_kind::noproc);
    }
    p.home->make_ready(p, false);
    return id;
}

void runtime_core::born() noexcept {
    if (thread_state* t = this_thread(); t && t->core == this)
        t->born.store(t->born.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    else
        born_outside.fetch_add(1, std::memory_order_relaxed);
}

std::int64_t runtime_core::live() const noexcept {
    // Deaths first: a process whose birth is missed is not missed as dead.
    const std::int64_t ended = threads_.ended();
    const std::int64_t born = born_outside.load(std::memory_order_acquire) + threads_.born();
    return born - ended;
}

// ---- the end

// The frames are gone; the process says goodbye. Order as OTP's: names first, so that whoever hears of the end can
// take the name.
void runtime_core::finish(process& p, exit_reason reason, bool report_it) noexcept {
    const pid id = pid_of(p);
    std::unique_ptr<process_extras> x;
    message_list inbox;
    message_list system;
    std::vector<std::string> names;
    const auto die = [&] { // under the lock
        p.state.store(run_state::dead, std::memory_order_relaxed);
        if (++p.generation == 0) p.generation = 1;
        ++p.token;
        p.claimed = p.wake_pending = p.trap_exit = p.killed = p.interrupted = p.ending = false;
        p.wants = mail_wanted::none;
        p.attention.store(0, std::memory_order_relaxed);
        p.mailbox_news.store(0, std::memory_order_relaxed);
        inbox = std::exchange(p.inbox, {});
        system = std::exchange(p.system, {});
        x.reset(std::exchange(p.extras, nullptr));
    };
    {
        spin_guard g{p.lock};
        if (const rare_extras* rare = existing_rare(p); rare && !rare->names.empty()) {
            names = rare->names;
            p.ending = true; // from here on it takes no names
        } else {
            die();
        }
    }
    if (!names.empty()) {
        for (const auto& n : names) unregister_name(n, id);
        spin_guard g{p.lock};
        die();
    }
    message_list mail = std::exchange(p.mail, {});
    // What runs from here on, destructors of messages and the crash handler, runs in no process: this one is dead, and
    // its block may soon be another one's.
    this_thread()->running.store(nullptr, std::memory_order_relaxed);
    if (report_it && reason == exit_kind::error && !(x && x->quiet)) {
        report_crash(reason, x ? x->label.view() : std::string_view{}, [&] {
            crash_report r;
            r.pid = id;
            r.names = names;
            r.reason = reason;
            r.mailbox_length = p.arrived - p.consumed.load(std::memory_order_relaxed);
            if (x) {
                r.label = x->label.str();
                complete(r, *x, now());
            }
            return r;
        });
    }
    drop_all(system, reason);
    drop_all(mail, reason);
    drop_all(inbox, reason);
    if (x) {
        const rare_extras* const rare = x->rare.get();
        if (rare && rare->bounded) end_line(p, *rare->bounded, reason);
        for (const auto& [other, nothing] : x->links) deliver_link_exit(other, id, reason);
        if (rare) {
            for (auto [ref, watched] : rare->monitoring) forget_watcher(watched, ref);
            for (auto [ref, watcher] : rare->watchers) deliver_down(watcher, monitor_ref{ref}, id, reason);
        }
    }
    leave_cell(p);
    thread_state* t = this_thread();
    t->ended.store(t->ended.load(std::memory_order_relaxed) + 1, std::memory_order_release);
}

void runtime_core::kill_all() noexcept {
    the_cells.for_each([this](process& p) {
        if (p.state.load(std::memory_order_relaxed) == run_state::dead) return;
        pid id;
        {
            spin_guard g{p.lock};
            if (is_home_of(p)) id = pid_of(p);
        }
        if (id) exit_process(id, {}, exit_kind::killed);
    });
}

} // namespace detail

// ---- the public functions

using namespace detail;

pid self() noexcept {
    process* p = current_process();
    return p ? pid_of(*p) : pid{};
}

bool is_alive(pid id) noexcept {
    process* p = find_block(id);
    if (!p) return false;
    spin_guard g{p->lock};
    return alive(*p, id);
}

bool detail::is_orphan(pid id) noexcept {
    pid parent;
    if (process* p = find_block(id)) {
        spin_guard g{p->lock};
        if (alive(*p, id) && p->extras && p->extras->born_linked) parent = p->extras->parent;
    }
    return parent && !is_alive(parent);
}

void set_label(std::string_view label) {
    process& p = require_process("set_label");
    shared_label text{label};
    spin_guard g{p.lock};
    std::swap(extras_of(p).label, text);
}

} // namespace genever
