#include "gen_server_test_support.hpp"
#include "supervisor_test_support.hpp"

#include <genever/otp/dynamic_supervisor.hpp>
#include <genever/otp/partition_supervisor.hpp>
#include <genever/runtime/runtime.hpp>

#include <limits>
#include <set>
#include <string>

using namespace genever;
using namespace genever::test;
using namespace std::chrono_literals;

TEST(PartitionSupervisor, RoutesAKeyToOnePartitionAlsoAfterARestart) {
    under_seeds([](simulation& sim) {
        sim.run([]() -> task<> {
            supervisor spec{
                strategy::one_for_one,
                {child<partition_supervisor>("counters", partitioned<counter>(10).partitions(4))}};
            const pid sup = co_await genever::test::up(spec);
            EXPECT_EQ(partition_count("counters"), 4U);
            auto all = co_await supervisor_ref{"counters"}.count_children();
            EXPECT_EQ(all.active, 4U);
            for (int key = 0; key < 8; ++key)
                partition_of<counter>("counters", key).cast<counter::increment>("n");
            for (int key = 0; key < 4; ++key) {
                const auto ref = partition_of<counter>("counters", key);
                EXPECT_EQ(ref.name(), "counters#" + std::to_string(key));
                EXPECT_EQ(co_await ref.call<counter::get>("n"), 12);
            }
            EXPECT_EQ(partition_name("counters", -5), "counters#1");
            EXPECT_EQ(partition_name("counters", std::numeric_limits<std::int64_t>::min()), "counters#0");
            EXPECT_EQ(partition_name("counters", std::uint8_t{7}), "counters#3");
            EXPECT_EQ(partition_name("counters", "text"), partition_name("counters", std::string{"text"}));
            std::set<std::string> reached;
            for (int i = 0; i < 100; ++i)
                reached.insert(partition_name("counters", "user" + std::to_string(i)));
            EXPECT_EQ(reached.size(), 4U);

            const auto ref = partition_of<counter>("counters", 2);
            const pid before = ref.pid();
            ref.cast<counter::fail_cast>();
            co_await sleep_for(1s);
            EXPECT_NE(ref.pid(), before);
            EXPECT_EQ(co_await ref.call<counter::get>("n"), 10);
            EXPECT_EQ(co_await partition_of<counter>("counters", 3).call<counter::get>("n"), 12);
            co_await genever::test::stop(sup);
            auto r = co_await ref.try_call<counter::get>("n");
            EXPECT_EQ(r.error().kind(), call_failure::noproc);
        });
        EXPECT_EQ(sim.live(), 0U);
    });
}

TEST(PartitionSupervisor, ANameThatNeverWasLeadsToNobody) {
    simulation sim{1};
    sim.run([]() -> task<> {
        const auto ref = partition_of<counter>("nobody", 3);
        EXPECT_EQ(ref.pid(), pid{});
        auto r = co_await ref.try_call<counter::get>("n");
        EXPECT_EQ(r.error().kind(), call_failure::noproc);
        trap_exit(true);
        auto unnamed = co_await start_link(partitioned<counter>(), "");
        EXPECT_FALSE(unnamed.has_value());
    });
}

TEST(PartitionSupervisor, ALaterRuntimeKnowsNothingOfAnEarlierOnes) {
    for (int i = 0; i < 20; ++i) { // at the same address, as a rule
        simulation sim{1};
        sim.run([]() -> task<> {
            EXPECT_EQ(partition_count("counters"), 0U);
            trap_exit(true);
            auto sup = co_await start_link(partitioned<counter>(10).partitions(4), "counters");
            EXPECT_TRUE(sup.has_value());
            EXPECT_EQ(partition_count("counters"), 4U);
            co_await genever::test::stop(*sup);
        });
    }
}

TEST(PartitionSupervisor, ARefusedStartChangesNothingForTheOneThatHasTheName) {
    under_seeds([](simulation& sim) {
        sim.run([]() -> task<> {
            trap_exit(true);
            auto sup = co_await start_link(partitioned<counter>(10).partitions(4), "counters");
            EXPECT_TRUE(sup.has_value());
            auto second = co_await start_link(partitioned<counter>(10).partitions(2), "counters");
            EXPECT_FALSE(second.has_value());
            EXPECT_EQ(partition_count("counters"), 4U);
            const auto third = partition_of<counter>("counters", 3);
            EXPECT_EQ(third.name(), "counters#3");
            auto r = co_await third.try_call<counter::get>("n");
            EXPECT_TRUE(r.has_value());
            co_await genever::test::stop(*sup);
        });
        EXPECT_EQ(sim.live(), 0U);
    });
}

TEST(PartitionSupervisor, AStartThatHasFailedChangesNothingForTheNextOne) {
    under_seeds([](simulation& sim) {
        auto s = std::make_shared<script>();
        sim.run([s]() -> task<> {
            const pid me = self();
            s->refuses = "counters#1";
            auto fails = [s, me]() -> task<> {
                trap_exit(true);
                partition_supervisor spec{
                    [s](const std::string& name, std::size_t) { return a_probe(s, name); }};
                auto r = co_await start_link(std::move(spec.partitions(4)), "counters");
                EXPECT_FALSE(r.has_value());
                send(me, 1);
            };
            spawn(fails);
            trap_exit(true);
            pid sup;
            for (;;) { // as soon as the name is free
                auto r = co_await start_link(partitioned<counter>(10).partitions(2), "counters");
                if (r) {
                    sup = *r;
                    break;
                }
                co_await yield();
            }
            co_await receive([](int) {});
            EXPECT_EQ(partition_count("counters"), 2U);
            co_await genever::test::stop(sup);
        });
        EXPECT_EQ(sim.live(), 0U);
    });
}

TEST(PartitionSupervisor, SpreadsDynamicSupervisorsOverRealThreads) {
    runtime_options options;
    options.workers = 3;
    runtime rt{options};
    rt.run([]() -> task<> {
        trap_exit(true);
        auto sup = co_await start_link(partitioned<dynamic_supervisor>(), "sessions");
        EXPECT_TRUE(sup.has_value());
        EXPECT_EQ(partition_count("sessions"), 3U); // as many as workers
        const pid me = self();
        for (int k = 0; k < 6; ++k) {
            auto starter = [me, k]() -> task<> {
                for (int i = 0; i < 100; ++i) {
                    const dynamic_supervisor_ref to{
                        partition_name("sessions", "user" + std::to_string(i * k))};
                    auto p = co_await to.start_child(child<counter>(""));
                    EXPECT_TRUE(p.has_value());
                }
                send(me, 1);
            };
            spawn(starter);
        }
        for (int k = 0; k < 6; ++k) co_await receive([](int) {});
        std::size_t n = 0;
        for (int i = 0; i < 3; ++i) {
            const dynamic_supervisor_ref one{partition_name("sessions", i)};
            auto c = co_await one.count_children();
            n += c.active;
        }
        EXPECT_EQ(n, 600U);
        exit(*sup, exit_kind::shutdown);
        co_await receive([](exit_signal) {});
    });
}
