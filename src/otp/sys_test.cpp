#include "gen_server_test_support.hpp"
#include "supervisor_test_support.hpp"

#include <genever/otp/supervisor.hpp>
#include <genever/otp/sys.hpp>

#include <algorithm>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

using namespace genever;
using namespace genever::test;
using namespace std::chrono_literals;

namespace {

struct vault : gen_server<vault> {
    struct add {
        int n;
    };
    struct read {
        using reply = int;
    };
    struct slow {};

    explicit vault(bool traps = false) : traps_(traps) {}
    void init() { trap_exit(traps_); }
    void handle(add m) {
        sum += m.n;
        seen.push_back("add");
    }
    int handle(read) { return sum; }
    task<> handle(slow) { co_await sleep_for(1h); }
    void handle(const down&) { seen.push_back("down"); }
    void handle(const exit_signal&) { seen.push_back("exit"); }
    std::string format_status() const { return "sum " + std::to_string(sum) + ", password ***"; }

    int sum = 0;
    std::vector<std::string> seen;
    std::string password = "secret";

private:
    bool traps_;
};

template <class F>
task<call_failure> failure_of(F f) {
    try {
        auto work = f();
        co_await std::move(work);
    } catch (const call_error& e) {
        co_return e.kind();
    }
    throw std::logic_error("it did not fail");
}

} // namespace

TEST(Sys, ReadsAndReplacesAStateInTurn) {
    under_seeds([](simulation& sim) {
        sim.run([]() -> task<> {
            const pid p = co_await genever::test::up<vault>("v");
            const server_ref<vault> s{"v"};
            for (int i = 1; i <= 3; ++i) {
                s.cast(vault::add{i}); // is handled before
                const int sum = co_await sys::get_state(s, [](const vault& v) { return v.sum; });
                EXPECT_EQ(sum, i * (i + 1) / 2);
            }
            co_await sys::replace_state(s, [](vault& v) { v.sum = 40; });
            const int old = co_await sys::replace_state(s, [](vault& v) { return std::exchange(v.sum, 42); });
            EXPECT_EQ(old, 40);
            const int now_there = co_await s.call<vault::read>();
            EXPECT_EQ(now_there, 42);
            bool threw = false;
            try {
                co_await sys::replace_state(s, [](vault&) { throw std::out_of_range("mine"); });
            } catch (const std::out_of_range&) {
                threw = true;
            }
            EXPECT_TRUE(threw);
            EXPECT_TRUE(is_alive(p)); // the server is none the worse
        });
    });
}

TEST(Sys, ASuspendedServerHandlesNothingUntilItIsResumed) {
    under_seeds([](simulation& sim) {
        sim.run([]() -> task<> {
            const pid p = co_await genever::test::up<vault>("v", true);
            const server_ref<vault> s{"v"};
            co_await sys::suspend(p);
            co_await sys::suspend(p);
            s.cast(vault::add{1});
            const pid friend_of_it = spawn([p] { link(p); });
            while (is_alive(friend_of_it)) co_await yield();
            exit(p, exit_reason{exit_kind::shutdown}); // trapped, and not its parent's
            s.cast(vault::add{2});
            const auto late = co_await s.within(1s).try_call<vault::read>();
            EXPECT_EQ(late.error().kind(), call_failure::timeout);
            auto status = co_await sys::get_status(p);
            EXPECT_TRUE(status.suspended);
            EXPECT_EQ(status.mailbox_length, 3U);
            int sum = co_await sys::get_state(s, [](const vault& v) { return v.sum; });
            EXPECT_EQ(sum, 0);
            co_await sys::resume(p);
            sum = co_await s.call<vault::read>();
            EXPECT_EQ(sum, 3);
            const auto seen = co_await sys::get_state(s, [](const vault& v) { return v.seen; });
            EXPECT_EQ(std::ranges::count(seen, "add"), 2);
            EXPECT_GE(std::ranges::count(seen, "exit"), 1);
            status = co_await sys::get_status(p);
            EXPECT_FALSE(status.suspended);
        });
    });
}

TEST(Sys, ASuspendedServerObeysItsParentAndTellsWhoWaits) {
    under_seeds([](simulation& sim) {
        sim.run([]() -> task<> {
            supervisor spec{strategy::one_for_one, {child<vault>("v", true)}};
            trap_exit(true);
            const auto sup = co_await start_link(spec, "top");
            const server_ref<vault> s{"v"};
            co_await sys::suspend(s.pid());
            const pid me = self();
            spawn([s, me]() -> task<> {
                auto r = co_await s.within(infinity).try_call<vault::read>();
                send(me, r.error().kind());
            });
            co_await sleep_for(1s);
            const time_point t = now();
            co_await stop(*sup);
            EXPECT_EQ(now(), t); // it was not killed after its patience
            const auto why = co_await receive([](call_failure k) { return k; });
            EXPECT_EQ(why, call_failure::exited);
        });
        EXPECT_EQ(sim.live(), 0U);
    });
}

TEST(Sys, AStatusTellsNoMoreThanTheServerWants) {
    under_seeds(
        [](simulation& sim) {
            sim.run([]() -> task<> {
                trap_exit(true);
                const auto v = co_await start_link<vault>("v");
                auto status = co_await sys::get_status(*v);
                EXPECT_EQ(status.pid, *v);
                EXPECT_EQ(status.name, "v");
                EXPECT_NE(status.type.find("vault"), std::string::npos);
                EXPECT_EQ(status.parent, self());
                EXPECT_EQ(status.state, "sum 0, password ***");
                const pid c = co_await genever::test::up<counter>("", 1);
                status = co_await sys::get_status(c);
                EXPECT_EQ(status.state, "");
                EXPECT_EQ(status.parent, pid{});
                supervisor spec{strategy::one_for_one, {}};
                const auto sup = co_await start_link(spec, "top");
                status = co_await sys::get_status(*sup);
                EXPECT_EQ(status.name, "top");
                co_await sys::suspend(*sup);
                co_await sys::resume(*sup);
                co_await stop(*sup);
            });
        },
        20);
}

TEST(Sys, FailsAsACallDoes) {
    under_seeds(
        [](simulation& sim) {
            sim.run([]() -> task<> {
                const pid p = co_await genever::test::up<vault>("v");
                const server_ref<counter> wrong{"v"};
                auto ask_wrong = [wrong] { return sys::get_state(wrong, [](const counter&) { return 1; }); };
                auto k = co_await failure_of(ask_wrong);
                EXPECT_EQ(k, call_failure::wrong_server);
                const server_ref<vault> s{"v"};
                s.cast(vault::slow{});
                auto ask_busy = [s] { return sys::get_state(s, [](const vault& v) { return v.sum; }, 1s); };
                k = co_await failure_of(ask_busy);
                EXPECT_EQ(k, call_failure::timeout);
                spawn([p]() -> task<> {
                    co_await sleep_for(1s);
                    exit(p, exit_kind::killed);
                });
                auto ask_dying = [s] {
                    return sys::get_state(s, [](const vault& v) { return v.sum; }, infinity);
                };
                k = co_await failure_of(ask_dying);
                EXPECT_EQ(k, call_failure::exited);
                auto ask_nobody = [] { return sys::suspend(pid{}); };
                k = co_await failure_of(ask_nobody);
                EXPECT_EQ(k, call_failure::noproc);
                const pid me = self();
                auto ask_self = [me] { return sys::resume(me); };
                k = co_await failure_of(ask_self);
                EXPECT_EQ(k, call_failure::calling_self);
            });
        },
        50);
}
