#include <genever/csp/chan.hpp>
#include <genever/csp/wait_group.hpp>
#include <genever/csp/when_all.hpp>
#include <genever/csp/when_any.hpp>
#include <genever/runtime/time.hpp>
#include <genever/runtime/timeout.hpp>

#include "csp/test_support.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

using namespace genever;
using namespace std::chrono_literals;
using genever::test::everywhere;
using genever::test::kill_and_wait;
using genever::test::simulated;

namespace {

template <class T>
task<T> later_gives(duration d, T value) {
    co_await sleep_for(d);
    co_return value;
}
task<> later_does(duration d, bool& done) {
    co_await sleep_for(d);
    done = true;
}
task<int> later_throws(duration d, std::string text) {
    co_await sleep_for(d);
    throw std::runtime_error(text);
}
task<int> holds(std::shared_ptr<int> what) {
    co_await sleep_for(24h);
    co_return *what;
}
task<long> sum_to(long n) {
    long s = 0;
    for (long i = 1; i <= n; ++i) {
        s += i;
        co_await yield();
    }
    co_return s;
}

} // namespace

TEST(WhenAll, GivesAllResultsAtTheTimeOfTheLast) {
    simulated([]() -> task<> {
        const auto start = now();
        bool did = false;
        auto [a, b, c] =
            co_await when_all(later_gives(2s, 1), later_gives(3s, std::string{"two"}), later_does(1s, did));
        EXPECT_EQ(now() - start, 3s);
        EXPECT_EQ(a, 1);
        EXPECT_EQ(b, "two");
        EXPECT_EQ(c, std::monostate{});
        EXPECT_TRUE(did);
        bool one = false;
        bool two = false;
        co_await when_all(later_does(1s, one), later_does(2s, two));
        EXPECT_TRUE(one && two);
        co_await when_all();
        co_await when_all(task<>{}, task<>{});
    });
}

TEST(WhenAll, OfAVectorKeepsTheOrder) {
    everywhere([]() -> task<> {
        std::vector<task<long>> work;
        for (long i = 0; i < 10; ++i) work.push_back(sum_to(10 - i));
        auto all = co_await when_all(std::move(work));
        EXPECT_EQ(all.size(), 10U);
        for (long i = 0; i < 10; ++i) EXPECT_EQ(all[static_cast<std::size_t>(i)], (10 - i) * (11 - i) / 2);
        std::vector<task<>> none;
        co_await when_all(std::move(none));
    });
}

TEST(WhenAll, TheFirstExceptionEndsTheOthersAndIsRethrown) {
    simulated([]() -> task<> {
        auto held = std::make_shared<int>(1);
        std::string text;
        const auto start = now();
        try {
            co_await when_all(holds(held), later_throws(1s, "first"), later_throws(1min, "second"));
        } catch (const std::runtime_error& e) {
            text = e.what();
        }
        EXPECT_EQ(text, "first");
        EXPECT_EQ(now() - start, 1s);
        EXPECT_EQ(held.use_count(), 1); // its frame is gone
    });
}

TEST(WhenAll, DestroyedWhileItWaitsItKillsTheTasks) {
    simulated([](simulation& sim) -> task<> {
        auto held = std::make_shared<int>(1);
        auto work = [](std::shared_ptr<int> h) -> task<> {
            co_await when_all(holds(h), holds(h), later_gives(1s, 1));
        };
        if (sim.random(2) == 0) {
            auto r = co_await with_timeout(2s, work(held));
            EXPECT_FALSE(r.has_value());
        } else {
            const pid p = go(work, held);
            for (auto n = sim.random(6); n > 0; --n) co_await yield();
            co_await kill_and_wait(p);
        }
        co_await sleep_for(1s);
        EXPECT_EQ(held.use_count(), 1);
    });
}

TEST(WhenAll, ATaskThatIsKilledFromOutsideCountsAsFailed) {
    simulated([]() -> task<> {
        chan<pid> who(1);
        auto tells = [](chan<pid> to) -> task<> {
            to.try_send(self());
            co_await sleep_for(24h);
        };
        go([who]() -> task<> {
            auto victim = co_await who.recv();
            exit(*victim, exit_kind::killed);
        });
        bool thrown = false;
        try {
            co_await when_all(tells(who), later_gives(1min, 1));
        } catch (const std::runtime_error&) {
            thrown = true;
        }
        EXPECT_TRUE(thrown);
    });
}

TEST(WhenAny, GivesTheFirstResultAndDestroysTheOthers) {
    simulated([]() -> task<> {
        auto held = std::make_shared<int>(1);
        const auto start = now();
        auto r = co_await when_any(holds(held), later_gives(1s, std::string{"fast"}), later_gives(2s, 3));
        EXPECT_EQ(r.index(), 1U);
        EXPECT_EQ(std::get<1>(r), "fast");
        EXPECT_EQ(now() - start, 1s);
        EXPECT_EQ(held.use_count(), 1);
        bool first = false;
        bool second = false;
        auto v = co_await when_any(later_does(2s, first), later_does(1s, second));
        EXPECT_EQ(v.index(), 1U);
        EXPECT_FALSE(first);
    });
}

TEST(WhenAny, AFirstThatThrowsIsTheFirst) {
    simulated([]() -> task<> {
        auto held = std::make_shared<int>(1);
        bool thrown = false;
        try {
            co_await when_any(holds(held), later_throws(1s, "first"));
        } catch (const std::runtime_error&) {
            thrown = true;
        }
        EXPECT_TRUE(thrown);
        EXPECT_EQ(held.use_count(), 1);
    });
}

TEST(WhenAny, OfAVectorGivesTheNumber) {
    everywhere([]() -> task<> {
        std::vector<task<long>> work;
        for (long i = 0; i < 5; ++i) work.push_back(sum_to(i == 3 ? 1 : 100'000'000));
        auto [number, value] = co_await when_any(std::move(work));
        EXPECT_EQ(number, 3U);
        EXPECT_EQ(value, 1);
        std::vector<task<>> none;
        EXPECT_THROW((void)when_any(std::move(none)), std::invalid_argument);
    });
}

TEST(WhenAny, HasOneWinnerWhenAllEndAtOnce) {
    everywhere([]() -> task<> {
        for (int i = 0; i < 10; ++i) {
            std::vector<task<long>> work;
            for (long k = 0; k < 8; ++k) work.push_back(sum_to(k + 1));
            auto [number, value] = co_await when_any(std::move(work));
            const auto n = static_cast<long>(number) + 1;
            EXPECT_EQ(value, n * (n + 1) / 2);
        }
    });
}
