// Long soak of random programs of channels, checked against a simple model: processes that send, receive, close and select
// at random, with deadlines and without, and are linked, killed and fail meanwhile, in the simulated runtime.
// GENEVER_SEEDS says how many programs, GENEVER_SEED replays one.
#include <genever/csp/chan.hpp>
#include <genever/csp/select.hpp>
#include <genever/runtime/process.hpp>
#include <genever/runtime/time.hpp>
#include <genever/runtime/timeout.hpp>

#include "csp/channel_model.hpp"
#include "runtime/simulation_test_support.hpp"
#include "runtime/soak_model.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <random>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

using namespace genever;
using namespace std::chrono_literals;
using genever::test::channel_counts;
using genever::test::channel_model;
using genever::test::counted_place;
using genever::test::life;
using genever::test::sent_value;
using genever::test::soak_counts;
using genever::test::soak_model;

namespace {

constexpr int first_processes = 10;
constexpr int more_each_round = 4;
constexpr int rounds = 6;
constexpr int most_processes = 60;
constexpr int most_operations = 120;
constexpr unsigned seeds = 1000;

struct select_counts {
    int received = 0;
    int sent = 0;
    int timed_out = 0;
    int found_nothing = 0;
};
struct counts {
    soak_counts processes;
    channel_counts channels;
    select_counts selects;
    int deadlines = 0;
};
struct world {
    explicit world(counts& n) : seen(n), processes(n.processes), channels(n.channels) {}
    counts& seen;
    soak_model processes;
    channel_model channels;
};

/// The program of one process: what it does depends on the seed and its number, and on what it meets.
class program {
public:
    program(world& w, std::uint64_t seed, int me)
        : life_(w.processes, me), w_(w), c_(w.channels), me_(me), seed_(seed),
          random_(seed * 1'000'003 + static_cast<std::uint64_t>(me)), frame_(w.processes.at(me).frames) {}

    static void start(world& w, std::uint64_t seed, bool linked, int starter) {
        const int child = w.processes.about_to_spawn();
        // On the heap, so that the outermost frame is small enough for the process's cell.
        auto p = std::make_unique<program>(w, seed, child);
        auto body = [](std::unique_ptr<program> self) -> task<> {
            const counted_place outermost = self->frame_;
            co_await self->run();
        };
        if (linked) {
            w.processes.spawned(child, spawn_link(body, std::move(p)));
            w.processes.linked(starter, child);
        } else {
            w.processes.spawned(child, spawn(body, std::move(p)));
        }
    }

    task<> run() {
        if (pick(3) == 0) c_.open(a_capacity(), me_);
        const int operations = 5 + pick(most_operations);
        for (int i = 0; i < operations; ++i) {
            const int what = pick(100);
            if (what < 40)
                act(what);
            else if (what < 41)
                break;
            else
                co_await wait(what);
        }
        w_.processes.at(me_).ended = exit_reason{};
    }

private:
    using direction = channel_model::direction;

    int pick(int bound) { return static_cast<int>(random_() % static_cast<unsigned>(bound)); }
    std::size_t a_capacity() { return static_cast<std::size_t>(std::max(0, pick(6) - 2)); }
    /// A channel, rather one of the latest.
    int anywhere() { return std::max(pick(c_.size()), pick(c_.size())); }
    int anywhere(direction what) {
        for (;;) {
            const int c = anywhere();
            if (what == direction::sends || c_.may_receive(c, me_)) return c;
        }
    }
    pid own_pid() { return w_.processes.at(me_).id; }

    // ---- what takes no time

    void act(int what) {
        if (what < 12)
            try_to_send(anywhere());
        else if (what < 22)
            try_to_receive(anywhere(direction::receives));
        else if (what < 25)
            c_.open(a_capacity(), channel_model::nobody);
        else if (what < 26)
            c_.close(anywhere());
        else
            act_on_processes(what);
    }
    void try_to_send(int c) {
        c_.check(c);
        const bool closed = c_.handle(c).is_closed();
        const auto expected = c_.ready_to_send(c);
        sent_value v = c_.offer(me_, c);
        const int number = v.number();
        bool thrown = false;
        bool sent = false;
        try {
            sent = c_.handle(c).try_send(std::move(v));
        } catch (const closed_channel&) {
            thrown = true;
        }
        EXPECT_EQ(thrown, closed);
        EXPECT_TRUE(thrown || !expected || sent == *expected) << "a send to channel " << c << ": " << sent;
        EXPECT_EQ(v.number(), sent ? -1 : number) << "a value that was not sent is as it was";
        sent ? c_.sent(number) : c_.not_sent(number);
        c_.check(c);
    }
    void try_to_receive(int c) {
        c_.check(c);
        const bool expected = c_.ready_to_receive(c);
        const bool closed_and_empty = c_.handle(c).is_closed() && c_.handle(c).size() == 0;
        const auto v = c_.handle(c).try_recv();
        EXPECT_EQ(v.has_value(), expected && !closed_and_empty) << "a receive from channel " << c;
        if (v) c_.received(me_, c, v);
        c_.check(c);
    }
    void act_on_processes(int what) {
        soak_model& m = w_.processes;
        const int other = pick(m.size());
        const pid id = m.at(other).id;
        if (what < 29) {
            if (m.size() < most_processes) start(w_, seed_, pick(2) == 0, me_);
        } else if (what < 32) {
            m.linked(me_, other);
            link(id);
        } else if (what < 34) {
            m.unlinked(me_, other);
            unlink(id);
        } else if (what < 37) {
            const exit_reason why = pick(2) == 0 ? exit_reason{exit_kind::killed} : exit_reason::error("x");
            c_.about_to_kill(other);
            m.exit_sent(other, own_pid(), why);
            exit(id, why);
        } else {
            m.compare(other);
        }
    }

    // ---- what suspends: a process that is to end does not come back from it

    task<> wait(int what) {
        const counted_place frame = frame_;
        const duration limit = pick(5) * 1ms;
        if (what < 47) {
            co_await send_one(anywhere());
        } else if (what < 53) {
            co_await receive_one(anywhere(direction::receives));
        } else if (what < 61) {
            auto work = pick(2) == 0 ? send_one(anywhere()) : receive_one(anywhere(direction::receives));
            const time_point start = now();
            const auto r = co_await with_timeout(limit, std::move(work));
            EXPECT_TRUE(r || now() >= start + limit) << "a deadline came too early";
            if (!r) ++w_.seen.deadlines;
        } else if (what < 63) {
            auto work = select_some(infinity);
            const auto r = co_await with_timeout(limit, std::move(work));
            if (!r) ++w_.seen.deadlines;
        } else if (what < 75) {
            co_await select_two(limit);
        } else if (what < 94) {
            const int end = pick(10);
            co_await select_some(end == 0 ? infinity : limit, end > 6);
        } else if (what < 97) {
            co_await sleep_for(limit);
        } else {
            co_await yield();
        }
        EXPECT_FALSE(w_.processes.at(me_).doomed) << "#" << me_ << " outlived a suspension";
    }

    task<> send_one(int c) {
        const counted_place frame = frame_;
        c_.check(c);
        sent_value v = c_.offer(me_, c);
        const int number = v.number();
        bool refused = false;
        {
            channel_model::waiting w{c_, me_, own_pid()};
            w.at(c, direction::sends);
            try {
                co_await c_.handle(c).send(std::move(v));
            } catch (const closed_channel&) {
                refused = true;
            }
            w.over();
        }
        if (!refused) {
            c_.sent(number);
        } else {
            c_.not_sent(number);
            c_.told_of_closed_to_sender(c);
            perhaps_fail();
        }
        c_.check(c);
    }
    void perhaps_fail() {
        if (pick(8) != 0) return;
        const std::string text = "thrown by " + std::to_string(me_);
        w_.processes.at(me_).ended = exit_reason::error(text);
        throw std::runtime_error(text);
    }

    task<> receive_one(int c) {
        const counted_place frame = frame_;
        c_.check(c);
        std::optional<sent_value> v;
        {
            channel_model::waiting w{c_, me_, own_pid()};
            w.at(c, direction::receives);
            v = co_await c_.handle(c).recv();
            w.over();
        }
        c_.received(me_, c, v);
        c_.check(c);
    }

    /// One case of a select.
    struct at_channel {
        int c; // none: it is nil
        direction what;
        int number = -1; // of what it would send
        std::optional<sent_value> got = {};
    };
    at_channel a_case() {
        const direction what = pick(2) == 0 ? direction::sends : direction::receives;
        return {pick(12) == 0 ? -1 : anywhere(what), what};
    }
    const chan<sent_value>& handle(const at_channel& k) { return k.c < 0 ? off_ : c_.handle(k.c); }
    std::optional<bool> ready(const at_channel& k) {
        if (k.c < 0) return false;
        c_.check(k.c);
        return k.what == direction::sends ? c_.ready_to_send(k.c) : c_.ready_to_receive(k.c);
    }
    sent_value to_send(at_channel& k) {
        sent_value v = c_.offer(me_, std::max(k.c, 0));
        k.number = v.number();
        return v;
    }

    /// What a select was told, what it did, and whether it may.
    class judge {
    public:
        judge(program& p, std::vector<at_channel>& cases, bool has_otherwise)
            : p_(p), cases_(cases), has_otherwise_(has_otherwise),
              wait_(std::in_place, p.c_, p.me_, p.own_pid()) {
            for (const at_channel& k : cases) {
                ready_.push_back(p.ready(k));
                if (k.c >= 0) wait_->at(k.c, k.what);
            }
        }
        /// `which`: the number of the case; beyond those at channels, the one after them. Nothing: it threw.
        void over(std::optional<std::size_t> which) {
            wait_->over();
            wait_.reset();
            const bool any_ready = std::ranges::count(ready_, std::optional{true}) > 0;
            for (std::size_t i = 0; i < cases_.size(); ++i)
                if (cases_[i].number >= 0 && i != which) p_.c_.not_sent(cases_[i].number);
            if (!which) {
                EXPECT_GT(std::ranges::count_if(cases_,
                                                [&](const at_channel& k) {
                                                    return k.c >= 0 && k.what == direction::sends &&
                                                           p_.c_.handle(k.c).is_closed();
                                                }),
                          0);
            } else if (*which < cases_.size()) {
                at_channel& k = cases_[*which];
                EXPECT_TRUE(ready_[*which] != false || !(any_ready || has_otherwise_))
                    << "it took a case that was not ready";
                if (k.c < 0) {
                    ADD_FAILURE() << "it took a case at a nil channel";
                } else if (k.what == direction::sends) {
                    p_.c_.sent(k.number);
                    ++p_.w_.seen.selects.sent;
                } else {
                    p_.c_.received(p_.me_, k.c, k.got);
                    ++p_.w_.seen.selects.received;
                }
            } else {
                EXPECT_FALSE(any_ready) << "a case was ready";
                ++(has_otherwise_ ? p_.w_.seen.selects.found_nothing : p_.w_.seen.selects.timed_out);
            }
            for (const at_channel& k : cases_)
                if (k.c >= 0) p_.c_.check(k.c);
        }

    private:
        program& p_;
        std::vector<at_channel>& cases_;
        bool has_otherwise_;
        std::vector<std::optional<bool>> ready_;
        std::optional<channel_model::waiting> wait_;
    };

    /// Over a vector of cases.
    task<> select_some(duration limit, bool has_otherwise = false) {
        const counted_place frame = frame_;
        std::vector<at_channel> at;
        for (int n = 1 + pick(4); n > 0; --n) at.push_back(a_case());
        std::vector<any_case> cases;
        for (at_channel& k : at)
            if (k.what == direction::sends)
                cases.emplace_back(send(handle(k), to_send(k)));
            else
                cases.emplace_back(recv(handle(k), k.got));
        if (has_otherwise)
            cases.emplace_back(otherwise());
        else if (limit != infinity)
            cases.emplace_back(after(limit));
        const time_point start = now();
        judge j{*this, at, has_otherwise};
        std::optional<std::size_t> which;
        try {
            which = co_await select(cases);
        } catch (const closed_channel&) {
        }
        EXPECT_TRUE(which != at.size() || has_otherwise || now() >= start + limit) << "after came too early";
        j.over(which);
    }
    /// Over cases that are known beforehand.
    task<> select_two(duration limit) {
        const counted_place frame = frame_;
        std::vector<at_channel> at;
        at.push_back({anywhere(direction::receives), direction::receives});
        at.push_back({anywhere(), direction::sends});
        const chan<sent_value> from = handle(at[0]);
        const chan<sent_value> to = handle(at[1]);
        sent_value v = to_send(at[1]);
        const bool has_otherwise = pick(2) == 0;
        const time_point start = now();
        judge j{*this, at, has_otherwise};
        std::optional<std::size_t> which;
        try {
            if (has_otherwise)
                which = co_await select(recv(from, at[0].got), send(to, std::move(v)), otherwise());
            else
                which = co_await select(recv(from, at[0].got), send(to, std::move(v)), after(limit));
        } catch (const closed_channel&) {
        }
        EXPECT_TRUE(which != at.size() || has_otherwise || now() >= start + limit) << "after came too early";
        j.over(which);
    }

    life life_; // the last to go
    world& w_;
    channel_model& c_;
    int me_;
    std::uint64_t seed_;
    std::mt19937_64 random_;
    counted_place frame_;
    const chan<sent_value> off_ = nil;
};

} // namespace

TEST(Soak, RandomProgramsOfChannelsBehaveAsTheModelOfGo) {
    counts seen;
    test::under_seeds(
        [&](simulation& sim) {
            world w{seen};
            soak_model& m = w.processes;
            sim.run([&]() -> task<> {
                const pid me = self();
                for (std::size_t capacity : {0, 0, 1, 3}) w.channels.open(capacity, channel_model::nobody);
                for (int i = 0; i < first_processes; ++i) program::start(w, sim.seed(), false, -1);
                for (int round = 0; round < rounds; ++round) {
                    co_await sleep_for(4300us); // nobody else wakes at that moment
                    m.compare_all_at_rest();
                    w.channels.check_all();
                    if (::testing::Test::HasFailure()) break;
                    for (int i = 0; i < more_each_round; ++i) program::start(w, sim.seed(), false, -1);
                }
                for (int c = 0; c < w.channels.size(); ++c) w.channels.feed(c);
                for (int i = 0; i < m.size(); ++i) {
                    m.exit_sent(i, me, exit_kind::killed);
                    exit(m.at(i).id, exit_kind::killed);
                }
                co_await sleep_for(1ns);
                m.compare_all_at_rest();
                EXPECT_EQ(m.living(), 0);
            });
            sim.run_for(1s);
            EXPECT_EQ(sim.live(), 0U);
            for (int c = 0; c < w.channels.size(); c += 2) w.channels.drain(c); // the others go as they are
        },
        seeds);
    if (seed_to_replay() || seeds_to_run(seeds) < seeds) return;
    // All of it has been met.
    for (int n : {seen.processes.returned, seen.processes.thrown, seen.processes.killed,
                  seen.processes.ended_by_link, seen.channels.received, seen.channels.told_of_close,
                  seen.channels.refused_by_close, seen.channels.left, seen.channels.left_served,
                  seen.channels.sent_unheard, seen.channels.drained, seen.selects.received, seen.selects.sent,
                  seen.selects.timed_out, seen.selects.found_nothing, seen.deadlines})
        EXPECT_GT(n, 50);
    EXPECT_GT(seen.channels.out_of_order, 0);
}
