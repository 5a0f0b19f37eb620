// What is no message of a user reaches a process whose bounded mailbox is full: exits, links, downs, kills.
#include <genever/runtime/mailbox.hpp>
#include <genever/runtime/receive.hpp>
#include <genever/runtime/runtime.hpp>
#include <genever/runtime/time.hpp>

#include "simulation_test_support.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <thread>

using namespace genever;
using namespace std::chrono_literals;
using genever::test::under_seeds;

namespace {

constexpr mailbox_policy all_policies[] = {mailbox_policy::reject, mailbox_policy::drop_oldest,
                                           mailbox_policy::drop_newest, mailbox_policy::wait};

/// What reaches the full process.
enum class arrival { shutdown, end_of_a_linked_one, down, kill };
constexpr arrival all_arrivals[] = {arrival::shutdown, arrival::end_of_a_linked_one, arrival::down,
                                    arrival::kill};

/// What the full process has received of them, before it ends.
struct outcome {
    std::atomic<int> exits = 0;
    std::atomic<int> downs = 0;
    std::atomic<bool> ready = false;
};

/// Waits for what is in no user's lane; its mailbox may be full meanwhile.
task<> wait_for_signals(outcome& o, bool trapping, pid linked, pid watched) {
    trap_exit(trapping);
    if (linked) link(linked);
    if (watched) monitor(watched);
    o.ready = true;
    co_await receive([&](const exit_signal&) { ++o.exits; }, [&](const down&) { ++o.downs; });
}

/// Ends when it is told to, as a server that is shut down.
task<> wait_for_the_word() {
    co_await receive([](const std::string&) {});
    exit(self(), exit_kind::shutdown);
    co_await yield();
}

/// One case from its beginning to its end; `from_outside` sends an exit signal where no process runs.
template <class Outside>
task<> reach(mailbox_policy policy, arrival what, bool trapping, Outside from_outside) {
    outcome o;
    const pid other = spawn(wait_for_the_word);
    const pid none{};
    const pid full =
        spawn({.mailbox = {.capacity = 2, .policy = policy}}, wait_for_signals, std::ref(o), trapping,
              what == arrival::end_of_a_linked_one ? other : none, what == arrival::down ? other : none);
    while (!o.ready) co_await yield();
    send(full, 1);
    send(full, 2);
    const send_result third = send(full, 3);
    EXPECT_EQ(third == send_result::delivered, policy == mailbox_policy::drop_oldest);
    EXPECT_EQ(info(full)->mailbox_length, 2U);

    // Both hear of its end, also where it has ended before they asked.
    const monitor_ref end = monitor(full);
    trap_exit(true);
    link(full);
    switch (what) {
    case arrival::shutdown: from_outside(full, exit_kind::shutdown); break;
    case arrival::kill: from_outside(full, exit_kind::killed); break;
    case arrival::end_of_a_linked_one:
    case arrival::down: send(other, std::string{"end"}); break;
    }
    const exit_reason why = co_await receive([&](const down& d) {
        EXPECT_EQ(d.ref, end);
        return d.reason;
    });
    const exit_reason by_link = co_await receive([&](const exit_signal& s) {
        EXPECT_EQ(s.from, full);
        return s.reason;
    });
    EXPECT_EQ(by_link.kind(), why.kind());
    const bool as_message = what == arrival::down || (trapping && what != arrival::kill);
    EXPECT_EQ(why.kind(), as_message              ? exit_kind::normal
                          : what == arrival::kill ? exit_kind::killed
                                                  : exit_kind::shutdown);
    EXPECT_EQ(o.exits, as_message && what != arrival::down ? 1 : 0);
    EXPECT_EQ(o.downs, what == arrival::down ? 1 : 0);
    exit(other, exit_kind::killed);
}

} // namespace

TEST(BoundedMailbox, IsReachedByEverySignalWhenItIsFull) {
    for (const mailbox_policy policy : all_policies)
        for (const arrival what : all_arrivals)
            for (const bool trapping : {false, true}) {
                under_seeds(
                    [=](simulation& sim) {
                        sim.run([=] {
                            return reach(policy, what, trapping,
                                         [](pid full, exit_kind why) { exit(full, why); });
                        });
                    },
                    25);
                if (::testing::Test::HasFailure()) return;
            }
}

TEST(BoundedMailbox, IsReachedByEverySignalBetweenThreadsWhenItIsFull) {
    runtime rt{{.workers = 2, .on_stall = [](const stall_report&) {}}};
    for (int round = 0; round < 5; ++round)
        for (const mailbox_policy policy : all_policies)
            for (const arrival what : all_arrivals)
                for (const bool trapping : {false, true})
                    for (const bool by_a_thread : {false, true}) {
                        rt.run([=] {
                            return reach(policy, what, trapping, [=](pid full, exit_kind why) {
                                if (!by_a_thread) return exit(full, why);
                                std::jthread{[=] {
                                    EXPECT_EQ(self(), pid{});
                                    exit(full, why);
                                }}.join();
                            });
                        });
                        if (::testing::Test::HasFailure()) return;
                    }
}

TEST(BoundedMailbox, IsReachedByAnExitFromOutsideOfTheSimulationWhenItIsFull) {
    for (const mailbox_policy policy : all_policies)
        for (const bool trapping : {false, true})
            under_seeds(
                [=](simulation& sim) {
                    outcome o;
                    const pid full = sim.spawn([&o, policy, trapping]() -> task<> {
                        set_mailbox_limit({.capacity = 1, .policy = policy});
                        co_await wait_for_signals(o, trapping, {}, {});
                    });
                    sim.run_for(1s);
                    send(full, 1);
                    send(full, 2);
                    exit(full, exit_kind::shutdown);
                    sim.run_for(1s);
                    EXPECT_FALSE(is_alive(full));
                    EXPECT_EQ(o.exits, trapping ? 1 : 0);
                },
                25);
}
