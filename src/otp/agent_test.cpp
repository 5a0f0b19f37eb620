#include "gen_server_test_support.hpp"
#include "supervisor_test_support.hpp"

#include <genever/otp/agent.hpp>
#include <genever/runtime/runtime.hpp>
#include <genever/runtime/timeout.hpp>

#include <map>
#include <memory>
#include <string>
#include <vector>

using namespace genever;
using namespace genever::test;
using namespace std::chrono_literals;

namespace {

using counts = std::map<std::string, int>;
const agent_ref<counts> ref{"counts"};

task<pid> up_counts() {
    const pid p = co_await genever::test::up<agent<counts>>("counts", [] { return counts{{"a", 1}}; });
    co_return p;
}

} // namespace

TEST(Agent, GetsUpdatesAndCasts) {
    under_seeds([](simulation& sim) {
        sim.run([]() -> task<> {
            const pid p = co_await up_counts();
            EXPECT_EQ(co_await ref.get([](const counts& c) { return c.at("a"); }), 1);
            co_await ref.update([](counts& c) { ++c["a"]; });
            co_await ref.update([](counts c) {
                c["b"] = 5;
                return c;
            });
            EXPECT_EQ(co_await ref.get_and_update([](counts& c) { return std::exchange(c["b"], 6); }), 5);
            const std::string key = long_text;
            EXPECT_TRUE(ref.cast([key](counts& c) { c[key] = 7; }));
            auto reading = ref.get([key](const counts& c) { return c.at(key); });
            EXPECT_EQ(co_await reading, 7);
            // It runs in the agent's process.
            EXPECT_EQ(co_await ref.get([](const counts&) { return self(); }), p);
            auto all = co_await ref.get([](const counts& c) { return c; });
            EXPECT_EQ(all.size(), 3U);
        });
    });
}

TEST(Agent, TakesCoroutinesAndMoveOnlyResults) {
    under_seeds([](simulation& sim) {
        sim.run([]() -> task<> {
            auto make = [](std::string text) -> task<std::unique_ptr<std::string>> {
                co_await sleep_for(1s);
                co_return std::make_unique<std::string>(std::move(text));
            };
            auto started = co_await start_link<agent<std::unique_ptr<std::string>>>("text", make, long_text);
            EXPECT_TRUE(started.has_value());
            const agent_ref<std::unique_ptr<std::string>> text{*started};
            auto shared = std::make_shared<std::string>(long_text);
            auto slowly = text.get([shared](const std::unique_ptr<std::string>& s) -> task<std::string> {
                co_await sleep_for(1s);
                co_return *s + *shared;
            });
            EXPECT_EQ(co_await slowly, long_text + long_text);
            co_await text.update([](std::unique_ptr<std::string>& s) -> task<> {
                co_await sleep_for(1s);
                *s = "x";
            });
            auto out = co_await text.get_and_update([](std::unique_ptr<std::string>& s) {
                return std::exchange(s, std::make_unique<std::string>());
            });
            EXPECT_EQ(*out, "x");
            EXPECT_EQ(shared.use_count(), 1);
        });
    });
}

TEST(Agent, EndsWithAnExceptionAndTellsWhoWaits) {
    under_seeds([](simulation& sim) {
        sim.run([]() -> task<> {
            const pid p = co_await up_counts();
            std::string text;
            try {
                co_await ref.get([](const counts& c) { return c.at("nobody"); });
            } catch (const call_error& e) {
                EXPECT_EQ(e.kind(), call_failure::exited);
                text = e.reason().type();
            }
            EXPECT_EQ(text, "std::out_of_range");
            EXPECT_FALSE(is_alive(p) && whereis("counts"));
            auto failed =
                co_await start<agent<counts>>("counts", []() -> counts { throw std::runtime_error("no"); });
            EXPECT_EQ(failed.error().text(), "no");
        });
    });
}

TEST(Agent, WaitsNoLongerThanItIsTold) {
    under_seeds([](simulation& sim) {
        sim.run([]() -> task<> {
            co_await up_counts();
            auto slow = [](counts& c) -> task<> {
                co_await sleep_for(10s);
                c["slow"] = 1;
            };
            const time_point before = now();
            bool late = false;
            try {
                co_await ref.update(slow);
            } catch (const call_error& e) {
                late = e.kind() == call_failure::timeout;
            }
            EXPECT_TRUE(late);
            EXPECT_EQ(now() - before, 5s);
            co_await sleep_for(10s); // it was done all the same
            EXPECT_EQ(co_await ref.get([](const counts& c) { return c.at("slow"); }, 1s), 1);
        });
    });
}

TEST(Agent, IsRestartedWithItsFirstState) {
    under_seeds([](simulation& sim) {
        sim.run([]() -> task<> {
            supervisor spec{strategy::one_for_one,
                            {child<agent<counts>>("counts", [] { return counts{{"a", 1}}; })}};
            const pid sup = co_await genever::test::up(spec);
            co_await ref.update([](counts& c) { c["a"] = 100; });
            ref.cast([](counts&) { throw std::runtime_error("crash"); });
            co_await sleep_for(1s);
            EXPECT_EQ(co_await ref.get([](const counts& c) { return c.at("a"); }), 1);
            co_await ref.stop();
            co_await sleep_for(1s);
            EXPECT_TRUE(whereis("counts"));
            co_await genever::test::stop(sup);
            EXPECT_FALSE(ref.cast([](counts&) {}));
        });
        EXPECT_EQ(sim.live(), 0U);
    });
}

TEST(Agent, CallersKilledAnywhereLeaveWholeUpdates) {
    under_seeds([](simulation& sim) {
        auto held = std::make_shared<int>(0);
        sim.run([held, &sim]() -> task<> {
            co_await up_counts();
            for (int round = 0; round < 10; ++round) {
                auto caller = [held]() -> task<> {
                    for (;;) {
                        auto work = ref.update([held](counts& c) -> task<> {
                            ++c["x"];
                            co_await yield();
                            ++c["y"];
                        });
                        co_await work;
                    }
                };
                const auto [p, m] = spawn_monitor(caller);
                for (auto n = sim.random(50); n > 0; --n) co_await yield();
                exit(p, exit_kind::killed);
                co_await receive([](down) {});
            }
            auto all = co_await ref.get([](const counts& c) { return c; });
            EXPECT_EQ(all["x"], all["y"]);
            EXPECT_EQ(held.use_count(), 2); // the test's own two
        });
    });
}

TEST(Agent, CountsOnRealThreads) {
    runtime_options options;
    options.workers = 4;
    runtime rt{options};
    rt.run([]() -> task<> {
        co_await up_counts();
        const pid me = self();
        for (int k = 0; k < 8; ++k) {
            auto caller = [me]() -> task<> {
                for (int i = 0; i < 200; ++i) {
                    co_await ref.update([](counts& c) { ++c["n"]; });
                    ref.cast([](counts& c) { ++c["n"]; });
                }
                co_await ref.get([](const counts&) { return 0; });
                send(me, 1);
            };
            spawn(caller);
        }
        for (int k = 0; k < 8; ++k) co_await receive([](int) {});
        EXPECT_EQ(co_await ref.get([](const counts& c) { return c.at("n"); }), 8 * 400);
    });
}
