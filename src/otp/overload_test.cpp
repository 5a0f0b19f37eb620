// Servers whose mailboxes are full.
#include "gen_server_test_support.hpp"

#include <genever/otp/gen_server.hpp>
#include <genever/runtime/mailbox.hpp>
#include <genever/runtime/runtime.hpp>
#include <genever/runtime/timeout.hpp>

#include <atomic>
#include <map>
#include <optional>
#include <string>
#include <vector>

using namespace genever;
using namespace genever::test;
using namespace std::chrono_literals;

namespace {

struct narrow : gen_server<narrow> {
    struct work {
        std::string key; // is destroyed once
        duration takes;
        using reply = std::string;
    };
    struct note {
        int number;
    };
    struct notes {
        using reply = std::vector<int>;
    };

    void init(mailbox_limit limit) { set_mailbox_limit(limit); }
    task<std::string> handle(work m) {
        co_await sleep_for(m.takes);
        done_.push_back(-1);
        co_return m.key;
    }
    void handle(note m) { done_.push_back(m.number); }
    std::vector<int> handle(notes) { return done_; }

private:
    std::vector<int> done_;
};

/// Keeps the server busy for a second.
void occupy(server_ref<narrow> s) {
    spawn([s]() -> task<> {
        const auto r = co_await s.try_call<narrow::work>(long_text, 1s);
        EXPECT_EQ(r.value(), long_text);
    });
}

} // namespace

TEST(Overload, ACallThatIsRejectedFailsAtOnce) {
    for (const mailbox_policy policy : {mailbox_policy::reject, mailbox_policy::drop_newest}) {
        under_seeds([policy](simulation& sim) {
            sim.run([policy]() -> task<> {
                const server_ref<narrow> s{co_await up<narrow>("narrow", mailbox_limit{1, policy})};
                occupy(s);
                co_await sleep_for(100ms);
                EXPECT_TRUE(s.cast<narrow::note>(1));
                EXPECT_FALSE(s.cast<narrow::note>(2));
                const time_point start = now();
                const auto r = co_await s.try_call<narrow::work>(long_text, 1s);
                EXPECT_EQ(now(), start);
                EXPECT_FALSE(r);
                EXPECT_EQ(r.error().kind(), call_failure::overloaded);
                EXPECT_EQ(r.error().reason().kind(), exit_kind::overloaded);
                EXPECT_NE(std::string{r.error().what()}.find("mailbox is full"), std::string::npos);
                co_await sleep_for(1s);
                const auto done = co_await s.call<narrow::notes>();
                EXPECT_EQ(done, (std::vector{-1, 1}));
            });
        });
        if (::testing::Test::HasFailure()) return;
    }
}

TEST(Overload, ACallThatIsDrivenOutFailsAtOnce) {
    under_seeds([](simulation& sim) {
        sim.run([]() -> task<> {
            const server_ref<narrow> s{
                co_await up<narrow>("narrow", mailbox_limit{2, mailbox_policy::drop_oldest})};
            occupy(s);
            co_await sleep_for(100ms);
            std::optional<call_failure> failure;
            spawn([&failure, s]() -> task<> {
                const auto r = co_await s.try_call<narrow::work>(long_text, 1s);
                EXPECT_FALSE(r);
                failure = r.error().kind();
            });
            co_await sleep_for(1ms);
            EXPECT_TRUE(s.cast<narrow::note>(1));
            co_await sleep_for(1ms);
            EXPECT_FALSE(failure);
            EXPECT_TRUE(s.cast<narrow::note>(2));
            co_await sleep_for(1ms);
            EXPECT_EQ(failure, call_failure::overloaded);
            co_await sleep_for(1s);
            const auto done = co_await s.call<narrow::notes>();
            EXPECT_EQ(done, (std::vector{-1, 1, 2}));
        });
    });
}

TEST(Overload, CallsWaitForRoomWhereThePolicySaysSo) {
    under_seeds([](simulation& sim) {
        sim.run([]() -> task<> {
            const server_ref<narrow> s{co_await up<narrow>("narrow", mailbox_limit{1, mailbox_policy::wait})};
            int answers = 0;
            for (int i = 0; i < 4; ++i) occupy(s);
            for (int i = 0; i < 3; ++i)
                spawn([&answers, s, i]() -> task<> {
                    EXPECT_EQ(co_await s.call<narrow::work>(std::to_string(i), 1ms), std::to_string(i));
                    ++answers;
                });
            co_await sleep_for(100ms);
            EXPECT_FALSE(s.cast<narrow::note>(1));
            EXPECT_EQ(info(s.pid())->mailbox_length, 1U);
            co_await sleep_for(5s);
            EXPECT_EQ(answers, 3);
        });
    });
}

// What has given up before it got into the mailbox is never handled; a server's end reaches those outside too.
TEST(Overload, ACallThatGivesUpOutsideIsNeverHandled) {
    under_seeds([](simulation& sim) {
        sim.run([&]() -> task<> {
            trap_exit(true);
            const server_ref<narrow> s{co_await up<narrow>("narrow", mailbox_limit{1, mailbox_policy::wait})};
            occupy(s);
            co_await sleep_for(100ms);
            EXPECT_TRUE(s.cast<narrow::note>(1));
            const auto late = co_await s.within(10ms).try_call<narrow::work>(long_text, 0s);
            EXPECT_EQ(late.error().kind(), call_failure::timeout);
            auto one = [](server_ref<narrow> to) -> task<> { co_await to.call<narrow::work>(long_text, 0s); };
            auto work = one(s);
            EXPECT_FALSE(co_await with_timeout(10ms, std::move(work)));
            const pid killed = spawn(one, s);
            co_await sleep_for(1ms);
            exit(killed, exit_kind::killed);
            co_await sleep_for(1s);
            const auto done = co_await s.call<narrow::notes>();
            EXPECT_EQ(done, (std::vector{-1, 1}));

            occupy(s);
            co_await sleep_for(100ms);
            EXPECT_TRUE(s.cast<narrow::note>(2));
            int told = 0;
            for (int i = 0; i < 3; ++i)
                spawn([&told, s]() -> task<> {
                    const auto r = co_await s.try_call<narrow::notes>();
                    EXPECT_EQ(r.error().kind(), call_failure::exited);
                    EXPECT_EQ(r.error().reason().kind(), exit_kind::shutdown);
                    ++told;
                });
            co_await sleep_for(1ms);
            exit(s.pid(), exit_kind::shutdown);
            co_await sleep_for(1ms);
            EXPECT_EQ(told, 3);
        });
    });
}

// Many threads, each policy: every call is answered with what it asked for, or fails with a reason that it may have.
TEST(Overload, EveryCallOfManyThreadsEnds) {
    for (const unsigned workers : test::thread_counts) {
        for (const mailbox_policy policy : {mailbox_policy::reject, mailbox_policy::drop_oldest,
                                            mailbox_policy::drop_newest, mailbox_policy::wait}) {
            runtime rt{{.workers = workers}};
            std::atomic<int> answered = 0;
            std::atomic<int> refused = 0;
            std::atomic<int> late = 0;
            constexpr int callers = 8;
            constexpr int each = 200;
            rt.run([&]() -> task<> {
                const server_ref<narrow> s{co_await up<narrow>("", mailbox_limit{2, policy})};
                for (int c = 0; c < callers; ++c)
                    spawn_monitor([&, s, c]() -> task<> {
                        for (int i = 0; i < each; ++i) {
                            const std::string key = long_text + std::to_string(c * each + i);
                            const auto r = co_await s.within(c == 0 ? duration{20us} : infinity)
                                               .try_call<narrow::work>(key, 0s);
                            if (r) {
                                EXPECT_EQ(*r, key);
                                ++answered;
                            } else if (r.error().kind() == call_failure::overloaded) {
                                ++refused;
                            } else {
                                EXPECT_EQ(r.error().kind(), call_failure::timeout);
                                ++late;
                            }
                        }
                    });
                for (int c = 0; c < callers; ++c) co_await receive([](const down&) {});
            });
            EXPECT_EQ(answered + refused + late, callers * each);
            EXPECT_GT(answered, 0);
            if (policy == mailbox_policy::wait) {
                EXPECT_EQ(refused, 0);
            }
        }
    }
}
