// Decides on each request and each connection of one server, and counts what it decides.
//
//     connection ──enter──▶ connection_limits
//     request    ──admit──▶ queue_delay ──(overloaded)──▶ client_shares ──▶ concurrency_limit of its class ──▶ handler
//                  │ no                                                                                        │
//                  └──▶ refusal_pace ──▶ 503                                              permit: counts it back out
#pragma once

#include "http/admission/client_shares.hpp"
#include "http/admission/concurrency_limit.hpp"
#include "http/admission/connection_limits.hpp"
#include "http/admission/queue_delay.hpp"
#include "http/admission/refusal_pace.hpp"
#include "http/admission/refusal_text.hpp"

#include <genever/http/admission.hpp>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

namespace genever::http {

struct traffic_class::state {
    explicit state(const traffic& t) noexcept : concurrency(t.max_concurrency) {}
    concurrency_limit concurrency;
    std::atomic<unsigned> waiting{0}; // to ask again
};

/// Safe on all threads, but for `connections`.
class admission_control {
public:
    /// Limits that the options leave open are taken from the system now.
    admission_control(const admission_options& o, std::shared_ptr<server_stats> stats, std::uint64_t seed);
    /// So many workers serve from now on.
    void served_by(unsigned workers) noexcept {
        pace_.set_rate(std::uint64_t{options_.refusal_rate} * workers);
        // Of handlers that never wait, as many are in hand as there are workers.
        bounds_.initial = std::max<std::size_t>(bounds_.initial, 2 * workers);
    }

    /// Who asks, and since when.
    struct asker {
        client_key client = 0;
        duration waited{};
        bool measured = true;    // not: it is judged by the wait of its predecessor on the connection
        bool in_reserve = false; // its connection is one of those kept for critical requests
        bool may_wait = false;   // for its class to grow: nothing has been done for it yet
        duration asking{};       // since it was told so for the first time
    };

    /// An admitted request, until its response has been made. A handler that was destroyed did not finish.
    class permit {
    public:
        permit() noexcept = default;
        permit(const permit&) = delete;
        permit& operator=(const permit&) = delete;
        ~permit() { give_back(); }

        /// The handler has returned by itself: how long it took counts.
        void finish(time_point now) noexcept { give_back(now, true); }
        /// How long it took says nothing: it did not wait, or it was destroyed, or crashed.
        void give_back() noexcept { give_back({}, false); }

    private:
        friend class admission_control;
        void give_back(time_point now, bool counts) noexcept;

        admission_control* control_ = nullptr; // null: there is none
        traffic_class* class_ = nullptr;
        std::optional<concurrency_limit::ticket> place_; // none: it entered whatever the limit
    };

    /// Whether a request of class `c`, which begins to be handled now, may be: gives `refusal::none` and sets `p`, which is
    /// empty before. Counts the decision. Nothing (to those only who may wait): it is to ask again when `ask_again_after` has passed.
    std::optional<refusal> admit(traffic_class& c, const asker& a, time_point now, permit& p) noexcept;
    static constexpr duration ask_again_after = std::chrono::milliseconds{4};

    /// One of a class that waits in order to ask again, as long as this lives.
    class [[nodiscard]] waiting {
    public:
        explicit waiting(traffic_class& c) noexcept : state_(*c.state_) {
            state_.waiting.fetch_add(1, std::memory_order_relaxed);
        }
        waiting(const waiting&) = delete;
        ~waiting() { state_.waiting.fetch_sub(1, std::memory_order_relaxed); }

    private:
        traffic_class::state& state_;
    };
    /// When a refusal that is decided now is to be answered.
    time_point answer_refusal_at(time_point now) noexcept { return pace_.next(now); }

    const refusal_text& text() const noexcept { return text_; }

    void count(refusal why) noexcept;
    void count_accepted() noexcept;
    void connections_are(std::size_t n) noexcept;
    /// Whether only the connections that are kept for critical requests are left, as far as can be seen from here.
    bool nearly_full() const noexcept {
        return open_.load(std::memory_order_relaxed) > connections.most() - connections.reserve();
    }

    /// For requests of no route's class.
    traffic_class& other() noexcept { return other_; }

    /// Under the server's lock.
    connection_limits connections;

private:
    // Of a class. More would cost too much, as they ask again and again.
    static constexpr unsigned most_waiting = 256;

    std::optional<refusal> decide(const traffic_class& c, const asker& a, time_point now, permit& p) noexcept;

    const admission_options options_;
    const std::shared_ptr<server_stats> stats_;
    queue_delay delay_;
    client_shares shares_;
    refusal_pace pace_;
    const refusal_text text_;
    traffic_class other_;
    concurrency_limit::bounds bounds_; // written before the first request
    std::atomic<std::size_t> open_{0}; // connections
};

} // namespace genever::http
