#include "timer_wheel.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <random>
#include <vector>

using namespace genever::detail;

namespace {

/// Timers whose wakes go nowhere: the ticket is stale from the start, so that only `armed` tells what has fired. They
/// outlive their wheel, which looks at what is still armed when it ends.
struct timers {
    process nobody{};
    std::deque<timer_node> nodes;

    timer_node& make() {
        timer_node& t = nodes.emplace_back();
        t.ticket = {&nobody, 1};
        return t;
    }
    timer_node& add(timer_wheel& w, std::int64_t when) {
        timer_node& t = make();
        w.add(t, when);
        return t;
    }
};

} // namespace

TEST(TimerWheel, FiresAtTheDeadlineAndNotBefore) {
    timers all;
    timer_wheel w{0};
    for (std::int64_t when : {1LL, 63LL, 64LL, 65LL, 4095LL, 4096LL, 1'000'000'007LL, 86'400'000'000'000LL}) {
        timer_node& t = all.add(w, when);
        w.expire(when - 1);
        EXPECT_TRUE(t.armed) << when;
        w.expire(when);
        EXPECT_FALSE(t.armed) << when;
    }
}

TEST(TimerWheel, RoundsUpToItsTick) {
    timers all;
    timer_wheel w{16};
    timer_node& t = all.add(w, 100'000); // in the second tick of 65,536 ns: fires at its end
    w.expire(131'071);
    EXPECT_TRUE(t.armed);
    w.expire(131'072);
    EXPECT_FALSE(t.armed);
}

TEST(TimerWheel, CountsHowLateBeyondTheirTicksTimersFired) {
    timers all;
    timer_wheel w{16};
    all.add(w, 65'536);
    all.add(w, 100'000); // its tick ends at 131,072
    all.add(w, 1'000'000'000);
    w.remove(all.add(w, 65'536));
    w.expire(65'536);
    EXPECT_EQ(w.count().fired, 1U);
    EXPECT_EQ(w.count().late_in_all, 0);
    w.expire(131'072 + 7'000);
    EXPECT_EQ(w.count().latest, 7'000);
    w.expire(1'000'000'000 - 1);
    EXPECT_EQ(w.count().fired, 2U);
    w.expire(1'000'013'824); // that is its tick, the 15,259th
    EXPECT_EQ(w.count().fired, 3U);
    EXPECT_EQ(w.count().late_in_all, 7'000 + 1'000'013'824 - 15'259 * 65'536LL);
    EXPECT_EQ(w.count().latest, 7'000);
    EXPECT_EQ(w.count().armed, 0U);
}

TEST(TimerWheel, AcceptsDeadlinesInThePastAndAtTheEndOfTime) {
    timers all;
    timer_wheel w{16};
    w.expire(1'000'000'000);
    timer_node& past = all.add(w, 5);
    timer_node& never = all.add(w, timer_wheel::never);
    w.expire(1'000'200'000);
    EXPECT_FALSE(past.armed);
    EXPECT_TRUE(never.armed);
    EXPECT_GT(w.next_event(), 1'000'000'000);
    EXPECT_TRUE(w.remove(never));
    EXPECT_FALSE(w.remove(never));
    EXPECT_EQ(w.sleep(1'000'200'000), timer_wheel::never);
}

TEST(TimerWheel, TellsWhenASleeperMustWakeEarlier) {
    timers all;
    timer_wheel w{0};
    all.add(w, 1000);
    EXPECT_LE(w.sleep(0), 1000);
    timer_node& later = all.nodes.emplace_back();
    timer_node& sooner = all.nodes.emplace_back();
    EXPECT_FALSE(w.add(later, 5000));
    EXPECT_TRUE(w.add(sooner, 10));
    w.awake();
    timer_node& awake = all.nodes.emplace_back();
    EXPECT_FALSE(w.add(awake, 5));
}

TEST(TimerWheel, CountsALengthOfTimeFromTheNextLookAtTheClock) {
    timers all;
    timer_wheel w{0};
    w.expire(100);
    timer_node& t = all.make();
    EXPECT_TRUE(w.add_after(t, 50));
    w.expire(120); // the first look: due at 170
    EXPECT_TRUE(t.armed);
    w.expire(169);
    EXPECT_TRUE(t.armed);
    w.expire(170);
    EXPECT_FALSE(t.armed);
}

TEST(TimerWheel, RefusesALengthOfTimeWhileItsWorkerSleeps) {
    timers all;
    timer_wheel w{0};
    w.sleep(0);
    timer_node& t = all.make();
    EXPECT_FALSE(w.add_after(t, 50));
    w.awake();
    EXPECT_TRUE(w.add_after(t, 50));
    EXPECT_TRUE(w.remove(t));
    EXPECT_FALSE(w.remove(t));
}

TEST(TimerWheel, AgreesWithASimpleListWhateverIsArmedAndCancelled) {
    for (unsigned seed = 1; seed <= 20; ++seed) {
        std::mt19937_64 random{seed};
        timers all;
        timer_wheel w{0};
        struct expected {
            timer_node* node;
            std::int64_t when;
            bool armed;
        };
        std::vector<expected> model;
        std::int64_t now = 0;
        for (int step = 0; step < 2000; ++step) {
            switch (random() % 5) {
            case 0:
            case 1: {
                const std::int64_t when =
                    now + 1 + static_cast<std::int64_t>(random() >> (1 + random() % 50)) % 10'000'000'000;
                model.push_back({&all.add(w, when), when, true});
                break;
            }
            case 4: { // dated at the next look at the clock, which moves only then
                const std::int64_t length =
                    1 + static_cast<std::int64_t>(random() >> (1 + random() % 50)) % 10'000'000'000;
                timer_node& t = all.make();
                ASSERT_TRUE(w.add_after(t, length));
                EXPECT_TRUE(w.has_pending());
                model.push_back({&t, now + length, true});
                break;
            }
            case 2:
                if (!model.empty()) {
                    expected& e = model[random() % model.size()];
                    EXPECT_EQ(w.remove(*e.node), e.armed);
                    e.armed = false;
                }
                break;
            case 3: {
                std::int64_t earliest = timer_wheel::never;
                for (const auto& e : model)
                    if (e.armed) earliest = std::min(earliest, e.when);
                const std::int64_t next = w.sleep(now);
                w.awake();
                ASSERT_LE(next, earliest);
                now = random() % 2 ? now + static_cast<std::int64_t>(random() >> (20 + random() % 40))
                                   : std::max(now, next == timer_wheel::never ? now : next);
                w.expire(now);
                for (auto& e : model) {
                    if (e.when <= now) e.armed = false;
                    ASSERT_EQ(e.node->armed, e.armed) << "seed " << seed << ", step " << step;
                }
            }
            }
        }
    }
}

TEST(TimerWheel, HoldsAMillionTimersAndFiresThoseThatWereNotCancelled) {
    constexpr std::size_t count = 1'000'000;
    std::mt19937_64 random{1};
    timers all;
    timer_wheel w{16};
    for (std::size_t i = 0; i < count; ++i)
        all.add(w, static_cast<std::int64_t>(random() % 3'600'000'000'000U));
    EXPECT_EQ(w.count().armed, count);
    std::size_t cancelled = 0;
    for (std::size_t i = 0; i < count; i += 2) cancelled += w.remove(all.nodes[i]) ? 1 : 0;
    EXPECT_EQ(cancelled, count / 2);
    std::size_t fired = 0;
    for (std::int64_t now = 0; now <= 3'601'000'000'000; now += 1'000'000'000) {
        fired += w.expire(now);
        w.sleep(now); // what it tells must not depend on how many there are
        w.awake();
    }
    EXPECT_EQ(fired, count - cancelled);
    EXPECT_EQ(w.count().armed, 0U);
    EXPECT_EQ(w.count().fired, fired);
    EXPECT_LE(w.count().latest, 1'000'000'000);
    EXPECT_GT(w.count().late_in_all, 0);
}
