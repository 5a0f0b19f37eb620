#include "task_test_support.hpp"

#include <genever/runtime/timeout.hpp>

#include <algorithm>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <vector>

using namespace genever;
using namespace genever::test;
using namespace std::chrono_literals;

TEST(TaskStream, GivesResultsInOrderWithBoundedConcurrency) {
    under_seeds([](simulation& sim) {
        with_tasks(sim);
        sim.run([]() -> task<> {
            auto at_once = std::make_shared<int>(0);
            auto most = std::make_shared<int>(0);
            auto work = [at_once, most](int i) -> task<std::string> {
                *most = std::max(*most, ++*at_once);
                co_await sleep_for(std::chrono::milliseconds{(i * 7) % 5});
                --*at_once;
                co_return long_text + std::to_string(i);
            };
            for (bool ordered : {true, false}) {
                std::vector<int> items;
                for (int i = 0; i < 20; ++i) items.push_back(i);
                auto s = tasks.async_stream(items, work, {.max_concurrency = 3, .ordered = ordered});
                std::vector<std::string> got;
                for (;;) {
                    auto r = co_await s.next();
                    if (!r) break;
                    got.push_back(r->value());
                }
                EXPECT_EQ(got.size(), 20U);
                if (!ordered) std::ranges::sort(got, {}, [](auto& t) { return std::pair(t.size(), t); });
                for (int i = 0; i < 20 && i < static_cast<int>(got.size()); ++i)
                    EXPECT_EQ(got[static_cast<std::size_t>(i)], long_text + std::to_string(i));
                auto end = co_await s.next();
                EXPECT_FALSE(end.has_value());
            }
            EXPECT_EQ(*most, 3);
        });
    });
}

TEST(TaskStream, UnorderedResultsComeAsTheyAreReady) {
    under_seeds([](simulation& sim) {
        with_tasks(sim);
        sim.run([]() -> task<> {
            auto work = [](int seconds) -> task<int> {
                co_await sleep_for(seconds * 1s);
                co_return seconds;
            };
            std::vector<int> items{3, 1, 2};
            auto s = tasks.async_stream(std::span{items}, work, {.max_concurrency = 3, .ordered = false});
            for (int i = 1; i <= 3; ++i) {
                auto r = co_await s.next();
                EXPECT_EQ(r->value(), i);
            }
        });
    });
}

TEST(TaskStream, CrashesAreResultsWithoutLinksAndTheOwnersWithThem) {
    under_seeds([](simulation& sim) {
        with_tasks(sim);
        sim.run([]() -> task<> {
            auto work = [](std::unique_ptr<int> i) -> task<int> {
                co_await yield();
                if (*i == 1) throw std::runtime_error(long_text);
                co_return *i;
            };
            std::vector<std::unique_ptr<int>> items;
            for (int i = 0; i < 3; ++i) items.push_back(std::make_unique<int>(i));
            auto s = tasks.async_stream_nolink(std::move(items), work);
            auto a = co_await s.next();
            EXPECT_EQ(a->value(), 0);
            auto b = co_await s.next();
            EXPECT_EQ(b->error().text(), long_text);
            auto c = co_await s.next();
            EXPECT_EQ(c->value(), 2);

            auto owner = [work]() -> task<> {
                std::vector<std::unique_ptr<int>> items;
                items.push_back(std::make_unique<int>(1));
                auto s = tasks.async_stream(std::move(items), work);
                co_await s.next();
            };
            spawn_monitor(owner);
            auto d = co_await receive([](down d) { return d; });
            EXPECT_EQ(d.reason.text(), long_text);
        });
    });
}

TEST(TaskStream, ATaskThatIsLateEndsTheOwnerOrIsKilled) {
    under_seeds([](simulation& sim) {
        with_tasks(sim);
        sim.run([]() -> task<> {
            auto work = [](int seconds) -> task<int> {
                co_await sleep_for(seconds * 1s);
                co_return seconds;
            };
            const std::vector<int> items{1, 60, 2};
            auto s = tasks.async_stream(
                items, work, {.max_concurrency = 2, .timeout = 3s, .on_timeout = on_task_timeout::kill_task});
            auto a = co_await s.next();
            EXPECT_EQ(a->value(), 1);
            auto b = co_await s.next();
            EXPECT_EQ(b->error().kind(), exit_kind::timeout);
            auto c = co_await s.next();
            EXPECT_EQ(c->value(), 2);
            co_await sleep_for(1s);
            EXPECT_EQ(co_await running_tasks(), 0U);

            auto owner = [work, items]() -> task<> {
                auto s = tasks.async_stream(items, work, {.max_concurrency = 3, .timeout = 3s});
                for (;;) {
                    auto r = co_await s.next();
                    if (!r) break;
                }
            };
            spawn_monitor(owner);
            auto d = co_await receive([](down d) { return d; });
            EXPECT_EQ(d.reason.kind(), exit_kind::timeout);
            co_await sleep_for(1s);
            EXPECT_EQ(co_await running_tasks(), 0U);
        });
    });
}

TEST(TaskStream, KillsWhatIsInFlightWhenItsConsumerEnds) {
    under_seeds([](simulation& sim) {
        with_tasks(sim);
        sim.run([&sim]() -> task<> {
            for (int way = 0; way < 3; ++way) {
                auto consumer = [way]() -> task<> {
                    auto work = [](int i) -> task<int> {
                        co_await sleep_for(i == 0 ? 1s : 1000h);
                        co_return i;
                    };
                    std::vector<int> items(10);
                    for (int i = 0; i < 10; ++i) items[static_cast<std::size_t>(i)] = i;
                    auto s =
                        tasks.async_stream_nolink(items, work, {.max_concurrency = 4, .timeout = infinity});
                    co_await s.next();
                    if (way == 0) co_return; // or is killed, or called off
                    co_await s.next();
                };
                auto work = consumer();
                if (way < 2) {
                    const auto [p, ref] = spawn_monitor(consumer);
                    if (way == 1) {
                        for (auto n = sim.random(40); n > 0; --n) co_await yield();
                        exit(p, exit_kind::killed);
                    }
                    co_await receive([](down) {});
                } else {
                    auto r = co_await with_timeout(5s, std::move(work));
                    EXPECT_FALSE(r.has_value());
                }
                co_await sleep_for(1s);
                EXPECT_EQ(co_await running_tasks(), 0U);
            }
        });
    });
}
