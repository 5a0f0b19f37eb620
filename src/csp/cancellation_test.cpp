#include <genever/csp/cancellable.hpp>
#include <genever/csp/cancellation.hpp>
#include <genever/csp/select.hpp>
#include <genever/csp/wait_group.hpp>
#include <genever/runtime/time.hpp>

#include "csp/test_support.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <vector>

using namespace genever;
using namespace std::chrono_literals;
using genever::test::everywhere;
using genever::test::simulated;

TEST(Cancellation, GoesDownTheTreeAndNeverUp) {
    cancellation_source root;
    cancellation_source left{root.token()};
    cancellation_source right{root.token()};
    cancellation_source below{left.token()};
    left.cancel(exit_reason::error("no longer needed"));
    EXPECT_TRUE(left.is_cancelled());
    EXPECT_TRUE(below.is_cancelled());
    EXPECT_EQ(below.token().cause().text(), "no longer needed");
    EXPECT_FALSE(root.is_cancelled());
    EXPECT_FALSE(right.is_cancelled());
    EXPECT_EQ(right.token().cause(), exit_kind::normal);
    root.cancel();
    EXPECT_TRUE(right.is_cancelled());
    EXPECT_EQ(right.token().cause(), exit_kind::shutdown);
    EXPECT_EQ(left.token().cause().text(), "no longer needed"); // the first one counts
}

TEST(Cancellation, ATokenWithoutASourceIsNeverCancelled) {
    const cancellation_token t;
    EXPECT_FALSE(t.is_cancelled());
    EXPECT_EQ(t.deadline(), time_point::max());
    EXPECT_NO_THROW(t.throw_if_cancelled());
    cancellation_source s{t};
    EXPECT_FALSE(s.is_cancelled());
}

TEST(Cancellation, WhatIsMadeBelowACancelledTokenIsCancelledFromTheStart) {
    cancellation_source root;
    root.cancel(exit_kind::timeout);
    cancellation_source s{root.token()};
    EXPECT_TRUE(s.is_cancelled());
    EXPECT_EQ(s.token().cause(), exit_kind::timeout);
    EXPECT_THROW(s.token().throw_if_cancelled(), operation_cancelled);
}

TEST(Cancellation, TheEndOfASourceCancelsItAndUnlistsIt) {
    cancellation_source root;
    cancellation_token t;
    for (int i = 0; i < 100; ++i) {
        cancellation_source s{root.token()};
        t = s.token();
        EXPECT_FALSE(t.is_cancelled());
        cancellation_source moved = std::move(s);
        EXPECT_FALSE(t.is_cancelled());
    }
    EXPECT_TRUE(t.is_cancelled());
    EXPECT_FALSE(root.is_cancelled());
    root.cancel();
}

TEST(Cancellation, ADeepTreeNeedsNoDeepStack) {
    cancellation_source root;
    std::vector<cancellation_source> chain;
    chain.emplace_back(root.token());
    for (int i = 0; i < 200'000; ++i) chain.emplace_back(chain.back().token());
    const auto last = chain.back().token();
    root.cancel();
    EXPECT_TRUE(last.is_cancelled());
    // And from the root down: each is held by the one below it only.
    cancellation_source top;
    auto one = std::make_unique<cancellation_source>(top.token());
    for (int i = 0; i < 200'000; ++i) one = std::make_unique<cancellation_source>(one->token());
}

TEST(Cancellation, DoneEndsWithTheCancel) {
    everywhere([]() -> task<> {
        auto s = std::make_shared<cancellation_source>();
        wait_group wg;
        for (int i = 0; i < 5; ++i)
            wg.go([t = s->token()]() -> task<> {
                const exit_reason why = co_await t.done();
                EXPECT_EQ(why, exit_kind::shutdown);
            });
        wg.go([s]() -> task<> {
            co_await yield();
            s->cancel();
        });
        co_await wg.wait();
        co_await s->token().done();
    });
}

TEST(Cancellation, TheEarliestDeadlineOfTheTreeCounts) {
    simulated([]() -> task<> {
        const auto start = now();
        cancellation_source outer{{}, 5s};
        cancellation_source inner{outer.token(), 60s};
        cancellation_source early{inner.token(), 1s};
        EXPECT_EQ(inner.token().deadline(), start + 5s);
        EXPECT_EQ(early.token().deadline(), start + 1s);
        EXPECT_EQ(co_await early.token().done(), exit_kind::timeout);
        EXPECT_EQ(now() - start, 1s);
        EXPECT_TRUE(early.is_cancelled());
        EXPECT_FALSE(inner.is_cancelled());
        EXPECT_EQ(co_await inner.token().done(), exit_kind::timeout);
        EXPECT_EQ(now() - start, 5s);
        EXPECT_EQ(outer.token().cause(), exit_kind::timeout);
        outer.cancel();
        EXPECT_EQ(outer.token().cause(), exit_kind::timeout); // that was first
    });
}

TEST(Cancellation, IsACaseOfSelect) {
    simulated([](simulation& sim) -> task<> {
        cancellation_source s;
        cancellation_source timed{s.token(), 3s};
        chan<int> c;
        const auto what = sim.random(3);
        go([&s, c, what]() -> task<> {
            co_await sleep_for(1s);
            if (what == 0) co_await c.send(1);
            if (what == 1) s.cancel();
        });
        const auto start = now();
        const cancellation_token t = timed.token();
        const auto which = co_await select(recv(c), done(t), after(10s));
        EXPECT_EQ(which, what == 0 ? 0U : 1U);
        EXPECT_EQ(now() - start, what == 2 ? 3s : 1s);
        if (what == 2) {
            EXPECT_EQ(t.cause(), exit_kind::timeout);
        }
        s.cancel();
        EXPECT_EQ(co_await select(recv(c), done(t), otherwise()), 1U);
        const cancellation_token never;
        EXPECT_EQ(co_await select(recv(c), done(never), after(1s)), 2U);
    });
}

TEST(Cancellation, DestroysACancellableTaskWhereItWaits) {
    simulated([](simulation& sim) -> task<> {
        cancellation_source s;
        bool destroyed = false;
        struct witness {
            bool* gone;
            ~witness() { *gone = true; }
        };
        auto inner = [](bool* gone) -> task<int> {
            witness w{gone};
            co_await sleep_for(10s);
            co_return 1;
        };
        auto work = [&inner](bool* gone) -> task<int> { co_return co_await inner(gone); };
        const bool cancels = sim.random(2) == 0;
        if (cancels)
            go([&s]() -> task<> {
                co_await sleep_for(1s);
                s.cancel(exit_reason::error("enough"));
            });
        const auto start = now();
        auto r = co_await cancellable(s.token(), work(&destroyed));
        EXPECT_TRUE(destroyed);
        EXPECT_EQ(r.has_value(), !cancels);
        if (r) {
            EXPECT_EQ(*r, 1);
        } else {
            EXPECT_EQ(r.error().cause.text(), "enough");
            EXPECT_EQ(now() - start, 1s);
        }
        co_await sleep_for(20s); // nothing of it is left over
    });
}

TEST(Cancellation, DestroysACancellableTaskAtTheDeadlineAndDoesNotStartOneThatIsLate) {
    simulated([]() -> task<> {
        cancellation_source s{{}, 2s};
        auto forever = []() -> task<> { co_await sleep_for(24h); };
        const auto start = now();
        auto r = co_await cancellable(s.token(), forever());
        EXPECT_EQ(now() - start, 2s);
        EXPECT_FALSE(r.has_value());
        if (!r) {
            EXPECT_EQ(r.error().cause, exit_kind::timeout);
        }
        auto never = []() -> task<> {
            ADD_FAILURE();
            co_return;
        };
        auto late = co_await cancellable(s.token(), never());
        EXPECT_FALSE(late.has_value());
    });
}

TEST(Cancellation, ACancellableTaskKeepsItsExceptionAndItsResult) {
    simulated([]() -> task<> {
        cancellation_source s;
        auto throwing = []() -> task<> {
            co_await yield();
            throw std::runtime_error("mine");
        };
        bool thrown = false;
        try {
            co_await cancellable(s.token(), throwing());
        } catch (const std::runtime_error& e) {
            thrown = std::string_view{e.what()} == "mine";
        }
        EXPECT_TRUE(thrown);
        auto value = []() -> task<std::string> { co_return "text"; };
        auto r = co_await cancellable({}, value());
        EXPECT_EQ(r.value(), "text");
    });
}

TEST(Cancellation, NestsWithOtherScopes) {
    simulated([](simulation& sim) -> task<> {
        cancellation_source outer;
        cancellation_source inner{outer.token(), 5s};
        auto forever = []() -> task<> { co_await sleep_for(24h); };
        auto middle = [&]() -> task<int> {
            auto r = co_await cancellable(inner.token(), forever());
            co_return r ? 0 : 1;
        };
        const bool outer_first = sim.random(2) == 0;
        if (outer_first)
            go([&]() -> task<> {
                co_await sleep_for(1s);
                outer.cancel();
            });
        auto r = co_await cancellable(outer.token(), middle());
        // Both scopes are called off by the outer one, and the outermost goes.
        EXPECT_EQ(r.has_value(), !outer_first);
        if (r) {
            EXPECT_EQ(*r, 1);
        }
    });
}

namespace {

class kept_tokens {
public:
    void put(cancellation_token t) {
        const std::lock_guard g{lock_};
        all_.push_back(std::move(t));
    }
    void expect_all_cancelled() {
        const std::lock_guard g{lock_};
        for (const auto& t : all_) EXPECT_TRUE(t.is_cancelled());
    }

private:
    std::mutex lock_;
    std::vector<cancellation_token> all_;
};

} // namespace

TEST(Cancellation, ManyThreadsMakeWaitForAndCancelOneTree) {
    test::threaded([]() -> task<> {
        for (int round = 0; round < 50; ++round) {
            auto root = std::make_shared<cancellation_source>();
            auto tokens = std::make_shared<kept_tokens>();
            wait_group wg;
            for (int p = 0; p < 6; ++p)
                wg.go([root, tokens, p]() -> task<> {
                    for (int i = 0; i < 10; ++i) {
                        cancellation_source mine{root->token()};
                        cancellation_source below{mine.token()};
                        if (i % 3 == p % 3) {
                            wait_group sub;
                            sub.go([t = below.token()]() -> task<> { co_await t.done(); });
                            sub.go([t = below.token()]() -> task<> {
                                auto forever = []() -> task<> { co_await sleep_for(24h); };
                                auto r = co_await cancellable(t, forever());
                                EXPECT_FALSE(r.has_value());
                            });
                            co_await yield();
                            mine.cancel();
                            co_await sub.wait();
                        }
                        tokens->put(below.token());
                    }
                });
            wg.go([root, tokens]() -> task<> {
                for (int i = 0; i < 20; ++i) co_await yield();
                root->cancel();
                tokens->expect_all_cancelled(); // those from before, at once
            });
            co_await wg.wait();
            tokens->expect_all_cancelled();
        }
    });
}
