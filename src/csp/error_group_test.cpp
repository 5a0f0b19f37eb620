#include <genever/csp/error_group.hpp>
#include <genever/csp/select.hpp>
#include <genever/csp/wait_group.hpp>
#include <genever/runtime/time.hpp>
#include <genever/runtime/timeout.hpp>

#include "csp/test_support.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <stdexcept>
#include <string>

using namespace genever;
using namespace std::chrono_literals;
using genever::test::everywhere;
using genever::test::kill_and_wait;
using genever::test::simulated;

namespace {

/// What wait() throws, or "".
task<std::string> outcome(const error_group& g) {
    try {
        co_await g.wait();
    } catch (const std::exception& e) {
        co_return e.what();
    }
    co_return "";
}

} // namespace

TEST(ErrorGroup, WaitsForAllOfItsMembers) {
    everywhere([]() -> task<> {
        error_group g;
        auto ended = std::make_shared<std::atomic<int>>(0);
        for (int i = 0; i < 10; ++i)
            g.go(
                [ended](int n) -> task<> {
                    for (int k = 0; k < n; ++k) co_await yield();
                    ++*ended;
                },
                i);
        g.go([ended] { ++*ended; });
        const auto t = g.token();
        EXPECT_FALSE(t.is_cancelled());
        co_await g.wait();
        EXPECT_EQ(ended->load(), 11);
        EXPECT_TRUE(t.is_cancelled());
        EXPECT_EQ(ended.use_count(), 1); // the members' frames are gone
        co_await g.wait();
    });
}

TEST(ErrorGroup, TheFirstFailureCancelsTheTokenAndIsRethrownByWait) {
    simulated([]() -> task<> {
        error_group g;
        int told = 0;
        for (int i = 0; i < 3; ++i)
            g.go([&told, t = g.token()]() -> task<> {
                const auto why = co_await t.done();
                EXPECT_EQ(why.text(), "first");
                ++told;
                throw std::runtime_error("a consequence");
            });
        g.go([]() -> task<> {
            co_await sleep_for(1s);
            throw std::runtime_error("first");
        });
        const auto start = now();
        EXPECT_EQ(co_await outcome(g), "first");
        EXPECT_EQ(now() - start, 1s);
        EXPECT_EQ(told, 3);
        EXPECT_EQ(co_await outcome(g), "first");
    });
}

TEST(ErrorGroup, TheOthersAreToldNotKilled) {
    simulated([]() -> task<> {
        error_group g;
        bool finished = false;
        g.go([]() -> task<> {
            throw std::runtime_error("at once");
            co_return;
        });
        g.go([&finished]() -> task<> {
            co_await sleep_for(5s);
            finished = true;
        });
        EXPECT_EQ(co_await outcome(g), "at once");
        EXPECT_TRUE(finished);
    });
}

TEST(ErrorGroup, AMemberThatIsKilledHasFailed) {
    simulated([](simulation& sim) -> task<> {
        error_group g;
        chan<pid> who(1);
        g.go([who]() -> task<> {
            who.try_send(self());
            co_await sleep_for(24h);
        });
        auto victim = co_await who.recv();
        if (sim.random(2) == 0) co_await yield();
        exit(*victim, exit_kind::killed);
        const auto text = co_await outcome(g);
        EXPECT_NE(text.find("killed"), std::string::npos);
    });
}

TEST(ErrorGroup, RunsNoMoreThanItsLimitAtOnce) {
    everywhere([]() -> task<> {
        error_group g;
        g.set_limit(3);
        struct counts {
            std::atomic<int> running{0};
            std::atomic<int> ended{0};
        };
        auto c = std::make_shared<counts>();
        for (int i = 0; i < 20; ++i)
            g.go([c]() -> task<> {
                EXPECT_LE(++c->running, 3);
                co_await yield();
                --c->running;
                ++c->ended;
            });
        co_await g.wait();
        EXPECT_EQ(c->ended.load(), 20);
    });
}

TEST(ErrorGroup, TryGoAndRoomObeyTheLimit) {
    simulated([]() -> task<> {
        error_group g;
        g.set_limit(2);
        auto slow = []() -> task<> { co_await sleep_for(1s); };
        EXPECT_TRUE(g.try_go(slow));
        EXPECT_TRUE(g.try_go(slow));
        EXPECT_FALSE(g.try_go(slow));
        const auto start = now();
        co_await g.room();
        EXPECT_EQ(now() - start, 1s);
        EXPECT_TRUE(g.try_go(slow));
        co_await g.wait();
        EXPECT_EQ(now() - start, 2s);
    });
}

TEST(ErrorGroup, ThereIsRoomOnceAllHaveBegun) {
    simulated([]() -> task<> {
        error_group g;
        g.set_limit(2);
        auto begun = std::make_shared<std::atomic<int>>(0); // by members, which run in other processes
        const auto start = now();
        for (int i = 0; i < 6; ++i)
            g.go([begun]() -> task<> {
                ++*begun;
                co_await sleep_for(1s);
            });
        co_await g.room();
        EXPECT_EQ(begun->load(), 6);
        EXPECT_EQ(now() - start, 3s);
        co_await g.wait();
    });
}

TEST(ErrorGroup, IsCancelledWithItsParent) {
    simulated([]() -> task<> {
        cancellation_source parent{{}, 3s};
        error_group g{parent.token()};
        g.go([t = g.token()]() -> task<> {
            co_await t.done();
            t.throw_if_cancelled();
        });
        const auto start = now();
        const auto text = co_await outcome(g);
        EXPECT_NE(text.find("cancelled"), std::string::npos);
        EXPECT_EQ(now() - start, 3s);
    });
}

TEST(ErrorGroup, AnOwnerThatDiesTakesItsMembersWithIt) {
    simulated([](simulation& sim) -> task<> {
        auto alive = std::make_shared<int>(0);
        auto stop = sim.random(3);
        const bool limited = sim.random(2) == 0;
        const pid owner = go([alive, limited]() -> task<> {
            error_group g;
            if (limited) g.set_limit(2);
            for (int i = 0; i < 5; ++i) g.go([alive]() -> task<> { co_await sleep_for(24h); });
            co_await g.wait();
        });
        for (; stop > 0; --stop) co_await yield();
        co_await kill_and_wait(owner);
        co_await sleep_for(1s);
        EXPECT_EQ(alive.use_count(), 1);
    });
}

TEST(ErrorGroup, AnOwnerThatThrowsOrRunsOutOfTimeTakesItsMembersWithIt) {
    simulated([]() -> task<> {
        auto alive = std::make_shared<int>(0);
        auto work = [](std::shared_ptr<int> held) -> task<> {
            error_group g;
            for (int i = 0; i < 5; ++i) g.go([held]() -> task<> { co_await sleep_for(24h); });
            co_await g.wait();
        };
        auto r = co_await with_timeout(1s, work(alive));
        EXPECT_FALSE(r.has_value());
        co_await sleep_for(1s);
        EXPECT_EQ(alive.use_count(), 1);
    });
}
