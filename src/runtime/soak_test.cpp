// Long soak of random programs, checked against a simple model: processes that spawn, link, monitor, send, name, trap,
// kill and fail at random, in the simulated runtime, where each answer and each message can be foretold.
// GENEVER_SEEDS says how many programs, GENEVER_SEED replays one.
#include <genever/runtime/blocking.hpp>
#include <genever/runtime/mailbox.hpp>
#include <genever/runtime/receive.hpp>
#include <genever/runtime/time.hpp>
#include <genever/runtime/timeout.hpp>

#include "simulation_test_support.hpp"
#include "soak_model.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <utility>

using namespace genever;
using namespace std::chrono_literals;
using genever::test::counted_place;
using genever::test::life;
using genever::test::soak_counts;
using genever::test::soak_model;
using genever::test::under_seeds;

namespace {

constexpr int first_processes = 12;
constexpr int most_processes = 80;
constexpr int most_operations = 100;
constexpr unsigned seeds = 300;

struct numbered {
    int from;
    int to;
    long number;
    counted_place w;
};

/// What a process waits for, and until when, as long as it does. They nest.
class waiting {
public:
    waiting(soak_model& m, int me, unsigned lanes, duration limit)
        : of_(m.at(me)), lanes_(std::exchange(of_.waits_for, lanes)),
          by_(std::exchange(of_.wakes_by, std::min(of_.wakes_by, later(now(), later_than(limit))))) {}
    ~waiting() {
        of_.waits_for = lanes_;
        of_.wakes_by = by_;
    }
    waiting(const waiting&) = delete;
    waiting& operator=(const waiting&) = delete;

private:
    // A timer that is due at once fires a nanosecond later.
    static duration later_than(duration d) { return d == infinity ? d : d + 10us; }

    soak_model::entry& of_;
    unsigned lanes_;
    time_point by_;
};

/// The program of one process: what it does depends on the seed and its number, and on what it meets.
class program {
public:
    program(soak_model& m, std::uint64_t seed, int me)
        : life_(m, me), m_(m), me_(me), seed_(seed),
          random_(seed * 1'000'003 + static_cast<std::uint64_t>(me)), frame_(m.at(me).frames) {}

    static void start(soak_model& m, std::uint64_t seed, int how, int starter) {
        const int child = m.about_to_spawn();
        // On the heap, so that the outermost frame is small enough for the process's cell.
        auto p = std::make_unique<program>(m, seed, child);
        auto body = [](std::unique_ptr<program> self) -> task<> {
            const counted_place outermost = self->frame_;
            co_await self->run();
        };
        if (how == 0) {
            m.spawned(child, spawn(body, std::move(p)));
        } else if (how == 1) {
            m.spawned(child, spawn_link(body, std::move(p)));
            m.linked(starter, child);
        } else {
            const auto [id, ref] = spawn_monitor(body, std::move(p));
            m.spawned(child, id);
            m.monitored(starter, child, ref);
        }
    }

    task<> run() {
        if (pick(3) == 0) limit_mailbox();
        const int operations = 5 + pick(most_operations);
        for (int i = 0; i < operations; ++i) {
            const int what = pick(100);
            if (what < 60)
                act(what);
            else if (what < 61)
                fail();
            else if (what < 62)
                break;
            else
                co_await wait(what);
        }
        m_.at(me_).ended = exit_reason{};
    }

private:
    int pick(int bound) { return static_cast<int>(random_() % static_cast<unsigned>(bound)); }
    int anybody() { return pick(m_.size()); }
    std::string a_name() { return "name" + std::to_string(pick(4)); }
    void limit_mailbox() {
        const mailbox_limit limit = a_limit();
        EXPECT_EQ(set_mailbox_limit(limit), std::exchange(m_.at(me_).limit, limit));
    }
    mailbox_limit a_limit() {
        if (pick(4) == 0) return {};
        return {.capacity = 1 + static_cast<std::size_t>(pick(3)),
                .policy = static_cast<mailbox_policy>(pick(4))};
    }
    exit_reason a_reason() {
        const std::string text = std::to_string(me_) + '/' + std::to_string(++failures_);
        switch (pick(7)) {
        case 0: return exit_kind::normal;
        case 1: return exit_reason::shutdown(text);
        case 2: return exit_kind::killed;
        case 3: return exit_kind::noproc;
        case 4: return exit_kind::timeout;
        default: return exit_reason::error(text);
        }
    }

    /// What takes no time.
    void act(int what) {
        const int other = anybody();
        const pid id = m_.at(other).id;
        if (what < 30) {
            numbered n{me_, other, m_.next_number(me_, other), counted_place{m_.at(other).messages}};
            const auto seen = info(id);
            m_.sent(me_, other, seen && seen->senders_waiting != 0, send(id, std::move(n)));
        } else if (what < 33) {
            limit_mailbox();
        } else if (what < 36) {
            if (m_.size() < most_processes) start(m_, seed_, pick(3), me_);
        } else if (what < 39) {
            m_.linked(me_, other);
            link(id);
        } else if (what < 41) {
            m_.unlinked(me_, other);
            unlink(id);
        } else if (what < 45) {
            m_.monitored(me_, other, monitor(id));
        } else if (what < 47) {
            const auto& refs = m_.at(me_).refs;
            if (refs.empty()) return;
            const monitor_ref ref{refs[static_cast<std::size_t>(pick(static_cast<int>(refs.size())))]};
            demonitor(ref);
            m_.demonitored(me_, ref);
        } else if (what < 49) {
            const exit_reason why = a_reason();
            m_.exit_sent(other, m_.at(me_).id, why);
            exit(id, why);
        } else if (what < 53) {
            const bool on = pick(3) != 0;
            EXPECT_EQ(trap_exit(on), std::exchange(m_.at(me_).trapping, on));
        } else if (what < 55) {
            const std::string n = a_name();
            EXPECT_EQ(register_name(n, id), m_.registered(n, other)) << n;
        } else if (what < 56) {
            const std::string n = a_name();
            EXPECT_EQ(unregister_name(n), m_.unregistered(n)) << n;
        } else if (what < 58) {
            const std::string n = a_name();
            EXPECT_EQ(whereis(n), m_.has_name(n)) << n;
        } else {
            m_.compare(other);
        }
    }

    [[noreturn]] void fail() {
        const std::string text = "thrown by " + std::to_string(me_);
        m_.at(me_).ended = exit_reason::error(text);
        throw std::runtime_error(text);
    }

    /// What suspends: a process that is to end does not come back from it.
    task<> wait(int what) {
        const counted_place frame = frame_;
        const duration limit = pick(4) * 1ms;
        if (what < 68) {
            auto work = send_in_turn(anybody());
            const waiting w{m_, me_, 0, limit};
            co_await with_timeout(limit, std::move(work));
        } else if (what < 76) {
            const bool any = co_await receive_all(limit);
            // A receive that only looks may let others run between its look and its end.
            if (!any && limit > 0ms) m_.found_nothing(me_);
        } else if (what < 82) {
            co_await receive_some(limit);
        } else if (what < 90) {
            auto work = pick(2) == 0 ? receive_all(2ms) : receive_all(infinity);
            const waiting w{m_, me_, 0, limit};
            const auto r = co_await with_timeout(limit, std::move(work));
            if (!r) ++m_.counts.timeouts;
        } else if (what < 93) {
            auto work = nested(limit);
            const waiting w{m_, me_, 0, 1ms};
            co_await with_timeout(1ms, std::move(work));
        } else if (what < 95) {
            const waiting w{m_, me_, 0, 0ms};
            EXPECT_EQ(co_await blocking([this] { return me_; }), me_);
        } else if (what < 98) {
            const waiting w{m_, me_, 0, limit};
            co_await sleep_for(limit);
        } else {
            const waiting w{m_, me_, 0, 0ms};
            co_await yield();
        }
        EXPECT_FALSE(m_.at(me_).doomed) << "#" << me_ << " outlived a suspension";
    }
    task<> nested(duration limit) {
        const counted_place frame = frame_;
        auto work = receive_all(limit);
        co_await with_timeout(2ms, std::move(work));
        co_await sleep_for(limit);
    }

    task<> send_in_turn(int other) {
        const counted_place frame = frame_;
        struct in_line {
            int& to;
            ~in_line() { to = -1; }
        };
        const in_line place{m_.at(me_).sends_to = other};
        const time_point start = now();
        auto sending = send_wait<numbered>(m_.at(other).id, me_, other, m_.next_number(me_, other),
                                           counted_place{m_.in_line});
        const send_result r = co_await sending;
        m_.sent_in_turn(me_, other, now() != start, r);
    }

    /// False when there was nothing in all that time.
    task<bool> receive_all(duration limit) {
        const counted_place frame = frame_;
        const waiting w{m_, me_, soak_model::numbers | soak_model::downs | soak_model::exits, limit};
        co_return co_await receive([this](const numbered& n) { return got(n); },
                                   [this](const down& d) {
                                       m_.got_down(me_, d);
                                       return true;
                                   },
                                   [this](const exit_signal& s) {
                                       m_.got_exit(me_, s);
                                       return true;
                                   },
                                   after(limit, [] { return false; }));
    }
    task<> receive_some(duration limit) {
        const counted_place frame = frame_;
        if (pick(2) == 0) {
            const waiting w{m_, me_, soak_model::numbers, limit};
            co_await receive([this](const numbered& n) { return got(n); },
                             after(limit, [] { return false; }));
        } else {
            const waiting w{m_, me_, soak_model::downs, limit};
            co_await receive([this](const down& d) { m_.got_down(me_, d); }, after(limit, [] {}));
        }
    }
    bool got(const numbered& n) {
        m_.got_number(me_, n.from, n.to, n.number);
        return true;
    }

    life life_; // the last to go
    soak_model& m_;
    int me_;
    std::uint64_t seed_;
    std::mt19937_64 random_;
    counted_place frame_;
    int failures_ = 0;
};

} // namespace

TEST(Soak, RandomProgramsBehaveAsTheModelOfOtp) {
    soak_counts counts;
    under_seeds(
        [&](simulation& sim) {
            soak_model m{counts};
            sim.run([&]() -> task<> {
                const pid me = self();
                for (int i = 0; i < first_processes; ++i) program::start(m, sim.seed(), 0, -1);
                for (int round = 0; round < 5; ++round) {
                    co_await sleep_for(4300us); // nobody else wakes at that moment
                    m.compare_all_at_rest();
                    if (::testing::Test::HasFailure()) break;
                }
                for (int i = 0; i < m.size(); ++i) {
                    m.exit_sent(i, me, exit_kind::killed);
                    exit(m.at(i).id, exit_kind::killed);
                }
                co_await sleep_for(1ns);
                m.compare_all_at_rest();
                EXPECT_EQ(m.living(), 0);
                for (int i = 0; i < 4; ++i) EXPECT_EQ(whereis("name" + std::to_string(i)), pid{});
            });
            sim.run_for(1s);
            EXPECT_EQ(sim.live(), 0U);
            EXPECT_EQ(m.in_line, 0);
            for (int i = 0; i < m.size(); ++i) {
                EXPECT_EQ(m.at(i).frames, 0);
                EXPECT_EQ(m.at(i).messages, 0);
            }
        },
        seeds);
    if (seed_to_replay() || seeds_to_run(seeds) < seeds) return;
    // All of it has been met.
    for (int n : {counts.returned, counts.thrown, counts.killed, counts.ended_by_link, counts.trapped_links,
                  counts.numbers, counts.exits, counts.downs, counts.noproc_downs, counts.timeouts,
                  counts.freed_names, counts.refused, counts.dropped})
        EXPECT_GT(n, 50);
    EXPECT_GT(counts.waited, 10);
}
