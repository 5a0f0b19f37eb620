#include "send_batch.hpp"

#include "poller.hpp"
#include "runtime_core.hpp"

#include <algorithm>
#include <span>
#include <utility>

namespace genever {

using namespace detail;

bool posted_send::post(const io_handle& to, std::string_view bytes, time_point now) noexcept {
    thread_state* const t = this_thread();
    if (batch_ || !t || !t->w || t->helper || t->core->is_simulated()) return false;
    slot_ = to.slot_;
    bytes_ = bytes;
    sent_ = 0;
    over_.store(false, std::memory_order_relaxed);
    if (!t->w->sends.add(*this, *t, now.time_since_epoch().count())) return false;
    batch_ = &t->w->sends;
    return true;
}

std::size_t posted_send::settle() noexcept {
    if (!batch_) return 0;
    // acquire: pairs with the release that follows the system's call
    if (!over_.load(std::memory_order_acquire)) batch_->take_back(*this);
    batch_ = nullptr;
    return std::exchange(sent_, 0);
}

} // namespace genever

namespace genever::detail {

namespace {

// What one waits for those that come after it, as long as these are quick: sixteen small requests take about as long.
constexpr std::int64_t patience = 100'000;
// One that has waited for longer than this has waited for somebody's computation. Then the next ones are sent at once, so that it
// happens to one in two thousand at most.
constexpr std::int64_t too_long = 250'000;
constexpr unsigned many = 2'000;

std::atomic<bool> forbidden{false}; // the system has said no

} // namespace

// Under the lock.
void send_batch::open() noexcept {
    switch (ring_.open()) {
    case send_ring::opened::yes: break;
    case send_ring::opened::never: forbidden.store(true, std::memory_order_relaxed); break;
    case send_ring::opened::not_now: sent_at_once_ = many; break;
    }
}

bool send_batch::add(posted_send& s, thread_state& t, std::int64_t now) noexcept {
    const auto drives = [&] { return t.w->driver.load(std::memory_order_relaxed) == &t; };
    // Without the lock: a thread that has been relieved may be at a low priority, and must not be waited for.
    if (off_ || forbidden.load(std::memory_order_relaxed) || !drives()) return false;
    std::lock_guard g{lock_};
    if (!drives()) return false;
    std::size_t n = count_.load(std::memory_order_relaxed);
    if (n == 0 && sent_at_once_ > 0) {
        --sent_at_once_;
        return false;
    }
    if (!ring_.is_open()) {
        open();
        return false; // that took its time
    }
    if (n == 0) {
        if (t.w->queue.looks_empty()) return false; // the worker is about to look at its descriptors
        since_ = now;
    }
    posted_[n] = &s;
    count_.store(++n, std::memory_order_relaxed);
    if (n == posted_.size() || now - since_ > patience) submit_under_lock(now);
    return true;
}

void send_batch::take_back(posted_send& s) noexcept {
    std::lock_guard g{lock_};
    const std::size_t n = count_.load(std::memory_order_relaxed);
    const auto all = std::span{posted_}.first(n);
    const auto it = std::ranges::find(all, &s);
    if (it == all.end()) return; // it is over
    *it = all.back();
    count_.store(n - 1, std::memory_order_relaxed);
}

void send_batch::submit_all() noexcept {
    const std::int64_t now = system_now();
    std::lock_guard g{lock_};
    submit_under_lock(now);
}

void send_batch::try_to_submit() noexcept {
    if (count_.load(std::memory_order_relaxed) == 0) return;
    const std::int64_t now = system_now();
    const std::unique_lock g{lock_, std::try_to_lock};
    if (g) submit_under_lock(now);
}

void send_batch::submit_under_lock(std::int64_t now) noexcept {
    const std::size_t n = count_.load(std::memory_order_relaxed);
    if (n == 0) return;
    if (now - since_ > too_long) sent_at_once_ = many;
    std::array<send_request, send_ring::most> requests;
    for (std::size_t i = 0; i < n; ++i)
        requests[i] = {posted_[i]->slot_->fd, posted_[i]->bytes_, 0}; // nothing sent, so far
    if (ring_.is_open()) ring_.send(std::span{requests}.first(n));
    if (n > 1) together_.store(together_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
    for (std::size_t i = 0; i < n; ++i) {
        posted_send& s = *posted_[i];
        s.sent_ = static_cast<std::size_t>(std::max(requests[i].result, 0));
        // Before it is over, for then its handle may go at any moment. Who is woken waits for the lock.
        if (s.sent_ < s.bytes_.size()) nudge(*s.slot_);
        // release: pairs with the acquire in settle
        s.over_.store(true, std::memory_order_release);
    }
    count_.store(0, std::memory_order_relaxed);
}

} // namespace genever::detail
