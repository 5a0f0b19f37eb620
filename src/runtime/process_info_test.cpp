#include <genever/runtime/alias.hpp>
#include <genever/runtime/mailbox.hpp>
#include <genever/runtime/receive.hpp>
#include <genever/runtime/runtime.hpp>
#include <genever/runtime/time.hpp>

#include "simulation_test_support.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <string>
#include <thread>
#include <utility>
#include <vector>

using namespace genever;
using namespace std::chrono_literals;
using genever::test::under_seeds;

namespace {

task<> wait_for_a_cup_of_tea(int minutes) { co_await sleep_for(minutes * 1min); }
task<> make_breakfast() { co_await wait_for_a_cup_of_tea(4); }

} // namespace

TEST(ProcessInfo, TellsWhereAProcessWaits) {
    under_seeds(
        [](simulation& sim) {
            sim.run([]() -> task<> {
                const pid p = spawn(make_breakfast);
                EXPECT_EQ(info(p)->state, process_state::ready);
                EXPECT_EQ(info(p)->suspension_point(), "");
                EXPECT_EQ(info(self())->state, process_state::running);
                co_await sleep_for(1s);
                const auto i = info(p);
                EXPECT_EQ(i->state, process_state::parked);
                EXPECT_NE(i->suspension_point().find("wait_for_a_cup_of_tea(int)"), std::string::npos)
                    << i->suspension_point();
                EXPECT_NE(i->suspension_point().find("process_info_test.cpp:"), std::string::npos);
                const auto reductions = info(self())->reductions;
                for (int n = 0; n < 10; ++n) co_await receive([](int) {}, after(0s, [] {}));
                EXPECT_GE(info(self())->reductions, reductions + 10);
                exit(p, exit_kind::killed);
                co_await sleep_for(1s);
                EXPECT_FALSE(info(p));
                EXPECT_FALSE(info(pid{}));
            });
        },
        10);
}

TEST(ProcessInfo, ALabelIsThatProcesssAloneThoughOthersStartedWithTheSame) {
    runtime rt;
    rt.run([]() -> task<> {
        const auto start = [](std::string label, bool renames) {
            return spawn(spawn_options{.label = std::move(label)}, [renames]() -> task<> {
                if (renames) set_label("fork");
                co_await receive([](int) {});
            });
        };
        const pid first = start("spoon", false);
        const pid second = start("spoon", true);
        const pid third = start("knife", false);
        const pid fourth = start("", true);
        const pid fifth = start("", false);
        const auto fork = [](pid p) { return info(p)->label == "fork"; };
        while (!fork(second) || !fork(fourth)) co_await sleep_for(1ms);
        EXPECT_EQ(info(first)->label, "spoon");
        EXPECT_EQ(info(third)->label, "knife");
        EXPECT_EQ(info(fifth)->label, "");
        send(second, 1);
        while (is_alive(second)) co_await sleep_for(1ms);
        EXPECT_EQ(info(first)->label, "spoon");
        for (const pid p : {first, third, fourth, fifth}) send(p, 1);
    });
}

TEST(ProcessInfo, TellsWhatAProcessIs) {
    under_seeds([](simulation& sim) {
        sim.run([]() -> task<> {
            const pid me = self();
            const pid other = spawn(make_breakfast);
            const spawn_options options{.label = "kitchen",
                                        .link = me,
                                        .watcher = me,
                                        .monitor = {},
                                        .quiet = true,
                                        .mailbox = {.capacity = 2, .policy = mailbox_policy::drop_oldest}};
            const pid p = spawn(options, [other]() -> task<> {
                trap_exit(true);
                link(other);
                monitor(other);
                monitor(other);
                make_alias();
                co_await sleep_for(1h);
            });
            EXPECT_TRUE(register_name("cook", p));
            EXPECT_TRUE(register_name("baker", p));
            co_await sleep_for(1s);
            for (int n = 0; n < 5; ++n) send(p, n);
            spawn([p]() -> task<> { co_await send_wait(p, 5); });
            co_await sleep_for(1s);
            const process_info i = *info(p);
            EXPECT_EQ(i.pid, p);
            EXPECT_EQ(i.label, "kitchen");
            EXPECT_EQ(i.names, (std::vector<std::string>{"cook", "baker"}));
            EXPECT_TRUE(i.trap_exit);
            EXPECT_TRUE(i.quiet);
            EXPECT_EQ(i.mailbox_length, 2U);
            EXPECT_EQ(i.mailbox, options.mailbox);
            EXPECT_EQ(i.mailbox_lost, 3U);
            EXPECT_EQ(i.senders_waiting, 1U);
            EXPECT_GT(i.memory, 256U);
            auto links = i.links;
            std::ranges::sort(links);
            EXPECT_EQ(links, (std::vector<pid>{std::min(me, other), std::max(me, other)}));
            EXPECT_EQ(i.monitors, (std::vector<pid>{other, other}));
            EXPECT_EQ(i.monitored_by, std::vector<pid>{me});
            EXPECT_EQ(info(other)->monitored_by, (std::vector<pid>{p, p}));

            const process_info mine = *info(me);
            EXPECT_EQ(mine.mailbox, mailbox_limit{});
            EXPECT_EQ(mine.mailbox_lost, 0U);

            const auto list = process_list();
            const auto all = processes();
            EXPECT_TRUE(std::ranges::equal(list, all, {}, &process_info::pid));
            EXPECT_NE(std::ranges::find(all, p), all.end());
        });
    });
}

TEST(ProcessInfo, MayBeAskedForByAnyThreadAtAnyTime) {
    for (const unsigned workers : test::thread_counts) {
        runtime rt{{.workers = workers, .on_crash = [](const crash_report&) {}}};
        std::atomic<bool> done = false;
        std::atomic<int> seen = 0;
        std::vector<std::thread> lookers;
        for (int n = 0; n < 2; ++n)
            lookers.emplace_back([&] {
                while (!done) {
                    for (const process_info& i : rt.process_list()) {
                        seen += i.state == process_state::parked && i.suspended_in;
                        EXPECT_LE(i.mailbox_length, std::max<std::size_t>(i.mailbox.capacity, 100));
                        for (pid other : i.links) info(other);
                    }
                    std::this_thread::yield();
                }
            });
        rt.run([]() -> task<> {
            for (int round = 0; round < 30; ++round) {
                for (int n = 0; n < 50; ++n)
                    spawn_monitor([n]() -> task<> {
                        set_label("process " + std::to_string(n));
                        register_name("name " + std::to_string(n), self());
                        if (n % 3 == 0)
                            set_mailbox_limit({.capacity = 4, .policy = mailbox_policy::drop_oldest});
                        if (n % 7 == 0) spawn_link([]() -> task<> { co_await sleep_for(1h); });
                        const alias a = make_alias();
                        for (int i = 0; i < 10; ++i) {
                            send(a, i);
                            if (i % 4 == 0) co_await yield();
                            co_await receive([](int) {});
                        }
                        if (n % 5 == 0) co_await sleep_for(100us);
                        if (n % 7 == 0) throw 1;
                    });
                for (int n = 0; n < 50; ++n) co_await receive([](const down&) {});
            }
        });
        done = true;
        for (auto& t : lookers) t.join();
        EXPECT_GT(seen, 0);
    }
}

// ---- names, as register/2, unregister/1 and whereis/1 of Erlang have them

TEST(Names, AreRefusedWhereErlangRefusesThem) {
    under_seeds([](simulation& sim) {
        sim.run([]() -> task<> {
            const pid p = spawn(make_breakfast);
            EXPECT_TRUE(register_name("a", p));
            EXPECT_FALSE(register_name("a", p)); // badarg there
            EXPECT_FALSE(register_name("a", self()));
            EXPECT_TRUE(register_name("b", p)); // other than there
            EXPECT_EQ(whereis("a"), p);
            EXPECT_FALSE(register_name("", p));
            EXPECT_FALSE(register_name("c", pid{}));
            EXPECT_FALSE(unregister_name("c"));
            EXPECT_EQ(whereis("c"), pid{});
            EXPECT_TRUE(unregister_name("a")); // another process's
            EXPECT_EQ(whereis("a"), pid{});
            exit(p, exit_kind::killed);
            monitor(p);
            co_await receive([](const down&) {});
            EXPECT_EQ(whereis("b"), pid{});
            EXPECT_FALSE(register_name("d", p));
            EXPECT_TRUE(register_name("b", self()));
        });
    });
}

TEST(Names, BelongToTheRuntimeOfTheirProcess) {
    simulation one{1};
    simulation other{2};
    const pid p = one.spawn(make_breakfast);
    other.run([p] {
        EXPECT_FALSE(register_name("stranger", p)); // its end would not free it here
        EXPECT_TRUE(register_name("stranger", self()));
    });
}
