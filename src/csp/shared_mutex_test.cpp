#include <genever/csp/shared_mutex.hpp>
#include <genever/csp/wait_group.hpp>
#include <genever/runtime/time.hpp>

#include "csp/test_support.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <string>
#include <vector>

using namespace genever;
using namespace std::chrono_literals;
using genever::test::everywhere;
using genever::test::kill_and_wait;
using genever::test::simulated;

TEST(SharedMutex, HasManyReadersOrOneWriter) {
    everywhere([]() -> task<> {
        struct guarded {
            shared_mutex m;
            std::atomic<int> reading{0};
            std::atomic<int> writing{0};
            std::atomic<int> most_readers{0};
        };
        auto s = std::make_shared<guarded>();
        wait_group wg;
        for (int p = 0; p < 6; ++p) {
            wg.go([s, p]() -> task<> {
                for (int i = 0; i < 30; ++i) {
                    if (p < 2) {
                        auto g = co_await s->m.lock();
                        EXPECT_EQ(++s->writing, 1);
                        EXPECT_EQ(s->reading.load(), 0);
                        co_await yield();
                        --s->writing;
                    } else {
                        auto g = co_await s->m.lock_shared();
                        const int n = ++s->reading;
                        if (n > s->most_readers) s->most_readers = n;
                        EXPECT_EQ(s->writing.load(), 0);
                        co_await yield();
                        --s->reading;
                    }
                }
            });
        }
        co_await wg.wait();
        EXPECT_TRUE(s->m.try_lock());
    });
}

TEST(SharedMutex, ReadersThatKeepComingDoNotStarveAWriter) {
    simulated([]() -> task<> {
        shared_mutex m;
        auto first = co_await m.lock_shared();
        auto second = co_await m.lock_shared();
        std::string order;
        wait_group wg;
        wg.go([&]() -> task<> {
            auto g = co_await m.lock();
            order += 'w';
            co_await sleep_for(1s);
        });
        co_await sleep_for(1s);
        EXPECT_FALSE(m.try_lock_shared()); // a writer waits
        for (int i = 0; i < 3; ++i)
            wg.go([&]() -> task<> {
                auto g = co_await m.lock_shared();
                order += 'r';
                co_await sleep_for(1s);
            });
        co_await sleep_for(1s);
        EXPECT_EQ(order, "");
        first.unlock();
        co_await sleep_for(1s);
        EXPECT_EQ(order, "");
        second.unlock();
        const auto start = now();
        co_await wg.wait();
        EXPECT_EQ(order, "wrrr");
        EXPECT_EQ(now() - start, 2s); // the readers all at once
    });
}

TEST(SharedMutex, AWriterThatLeavesTheLineLetsTheReadersBehindItIn) {
    simulated([](simulation& sim) -> task<> {
        shared_mutex m;
        auto reading = co_await m.lock_shared();
        const pid writer = go([&m]() -> task<> { auto g = co_await m.lock(); });
        co_await sleep_for(1s);
        bool in = false;
        wait_group wg;
        wg.go([&]() -> task<> {
            auto g = co_await m.lock_shared();
            in = true;
        });
        co_await sleep_for(1s);
        EXPECT_FALSE(in);
        if (sim.random(2) == 0) reading.unlock(); // it is the writer's now, which has not run
        co_await kill_and_wait(writer);
        co_await wg.wait();
        EXPECT_TRUE(in);
        reading.unlock();
        EXPECT_TRUE(m.try_lock());
    });
}

TEST(SharedMutex, ReadersThatAreServedAndDieGiveItBack) {
    simulated([](simulation& sim) -> task<> {
        shared_mutex m;
        auto writing = co_await m.lock();
        std::vector<pid> readers;
        for (int i = 0; i < 4; ++i)
            readers.push_back(go([&m]() -> task<> { auto g = co_await m.lock_shared(); }));
        co_await sleep_for(1s);
        writing.unlock(); // all four have it
        for (const pid r : readers)
            if (sim.random(2) == 0) exit(r, exit_kind::killed);
        auto again = co_await m.lock();
        EXPECT_TRUE(again);
        EXPECT_FALSE(m.try_lock_shared());
        co_await sleep_for(1s); // the dead have gone
    });
}
