// For this room's kill tables: the servers that victims wait for, and the tree in which they live.
#pragma once

#include "runtime/kill_test_support.hpp"

#include <genever/base/log.hpp>
#include <genever/otp/gen_server.hpp>
#include <genever/otp/registry.hpp>
#include <genever/otp/supervisor.hpp>
#include <genever/otp/via.hpp>
#include <genever/runtime/mailbox.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace genever::test {

using namespace std::chrono_literals;

// Servers are killed on purpose: their reports are for nobody.
inline const bool killed_quietly = (log::set_level(log::level::off), true);

/// On threads a while is short; in a simulation it is the deadline's length, so that both come at the same moment.
inline std::atomic<bool> in_real_time{false};
inline duration a_while() { return in_real_time ? duration{200us} : duration{1s}; }
inline duration long_enough() { return in_real_time ? duration{1h} : duration{4s}; }

struct server_place {
    std::atomic<int> alive{0};
    std::atomic<bool> busy{false};
    registry<std::string> rooms{"rooms"};
    pid top; // the tree of `begin`
};
using at_server_place = std::shared_ptr<server_place>;
using server_witness = witness<server_place>;

/// Answers at once, after a while, or when it is told to. Requests and answers are witnesses, too.
struct keeper : gen_server<keeper> {
    struct ask {
        server_witness w;
        using reply = server_witness;
    };
    struct ask_slowly {
        server_witness w;
        using reply = server_witness;
    };
    struct ask_later {
        server_witness w;
        using reply = server_witness;
    };
    struct answer {};
    struct be_busy {
        at_server_place p;
    };
    struct fill {
        server_witness w;
    };

    explicit keeper(mailbox_limit limit = {}) {
        if (limit != mailbox_limit{}) set_mailbox_limit(limit);
    }

    server_witness handle(const ask& m) { return m.w; }
    task<server_witness> handle(ask_slowly m) {
        co_await sleep_for(a_while());
        co_return m.w;
    }
    void handle(ask_later m, from<server_witness> f) { waiting_.emplace_back(std::move(m.w), std::move(f)); }
    void handle(answer) {
        for (auto& [w, f] : waiting_) f.reply(w);
        waiting_.clear();
    }
    task<> handle(be_busy m) {
        m.p->busy = true;
        m.p.reset();
        co_await sleep_for(a_while());
    }
    void handle(const fill&) {}

private:
    std::vector<std::pair<server_witness, from<server_witness>>> waiting_;
};

/// Takes a while to start and to end, and ends by itself.
struct brief : gen_server<brief> {
    struct over {};
    struct finish {};

    explicit brief(at_server_place p, bool fails = false) : w_(std::move(p)), fails_(fails) {}
    task<> init() {
        trap_exit(true);
        const server_witness inner{w_};
        co_await sleep_for(a_while());
        if (fails_) throw std::runtime_error("does not start");
        send_after(2 * a_while(), over{});
    }
    task<> terminate(const exit_reason&) {
        const server_witness inner{w_};
        co_await sleep_for(a_while());
    }
    void handle(over) { stop(); }
    void handle(finish) { stop(exit_kind::shutdown); }

private:
    server_witness w_;
    bool fails_;
};

/// Starts what outlives the victims, under a supervisor that brings back what a trigger kills.
inline task<> start_tree(at_server_place p, std::vector<child_spec> children) {
    trap_exit(true);
    supervisor spec{strategy::one_for_one, std::move(children)};
    // A pause, as a supervisor that was killed leaves children behind that end by their links: tried again at once, its
    // restart finds their names taken, any number of times.
    spec.max_restarts(1000).back_off({.first = 1ms, .most = 10ms});
    const auto started = co_await start_link(std::move(spec), "top");
    if (!started) throw std::runtime_error("did not start: " + to_string(started.error()));
    p->top = *started;
}

/// How long a loop of the process that watches goes on: while the tree is there, and for 20 seconds (a simulation's steps, which
/// take no time, are counted). Then the test has failed.
class patience {
public:
    patience(at_server_place p, const char* what) noexcept : p_(std::move(p)), what_(what) {}
    /// Once for each turn of the loop.
    bool is_over() {
        const bool gone = !is_alive(p_->top);
        const bool late = in_real_time ? now() >= end_ : ++turns_ >= most_turns;
        if (!gone && !late) return false;
        ADD_FAILURE() << (gone ? "the tree is gone" : what_);
        return true;
    }

private:
    static constexpr int most_turns = 100'000;
    at_server_place p_;
    const char* what_;
    int turns_ = 0;
    time_point end_ = now() + 20s;
};

/// Ends it in order.
inline task<> stop_tree(at_server_place p) {
    exit(p->top, exit_kind::shutdown);
    const time_point end = now() + 20s;
    for (;;) {
        const pid ended = co_await receive([](const exit_signal& e) { return e.from; },
                                           after(end - now(), [] { return pid{}; }));
        if (!ended) ADD_FAILURE() << "the tree does not end";
        if (!ended || ended == p->top) break;
    }
}

inline void no_trigger(server_place&, pid) {}
inline constexpr char doomed[] = "doomed";
inline constexpr char doomed_agent[] = "doomed agent";
/// Ends the process of that name. A child is started again.
template <const char* Name>
void kill_named(server_place&, pid) {
    if (const pid p = whereis(Name)) exit(p, exit_kind::killed);
}

template <class Place>
void run_on_threads(const kill_table<Place>& table, unsigned rounds) {
    in_real_time = true;
    kill_everywhere_threaded(table, rounds);
    in_real_time = false;
}

} // namespace genever::test
