// Continues, idle timeouts, and the edges of delayed replies.
#include "gen_server_test_support.hpp"
#include "supervisor_test_support.hpp"

#include <genever/otp/gen_server.hpp>
#include <genever/otp/supervisor.hpp>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <vector>

using namespace genever;
using namespace genever::test;
using namespace std::chrono_literals;

namespace {

using log_ptr = std::shared_ptr<std::vector<std::string>>;

struct stepwise : gen_server<stepwise> {
    struct load {
        std::string what;
    };
    struct note {
        std::string what;
    };
    struct work {
        std::string what;
        using reply = std::string;
    };
    struct crash_next {
        using reply = int;
    };
    struct crash {};
    struct stop_with_a_rest {};

    explicit stepwise(log_ptr l) : log_(std::move(l)) {}
    void init() {
        log_->push_back("init");
        continue_with(load{"first"});
        continue_with<load>("second");
    }
    task<> handle(load m) {
        co_await sleep_for(1s);
        log_->push_back("load " + m.what);
        if (m.what == "second") continue_with<note>("from a continue");
    }
    void handle(note m) { log_->push_back("note " + m.what); }
    std::string handle(work m) {
        continue_with<note>("after " + m.what);
        log_->push_back("work " + m.what);
        return m.what;
    }
    int handle(crash_next) {
        continue_with<crash>();
        return 7;
    }
    void handle(crash) { throw std::runtime_error("in a continue"); }
    void handle(stop_with_a_rest) {
        continue_with<note>("never");
        stop();
    }

private:
    log_ptr log_;
};

struct idler : gen_server<idler> {
    struct wait {
        duration how_long;
    };
    struct nothing {};
    struct slow {
        duration how_long;
    };

    explicit idler(log_ptr l) : log_(std::move(l)) {}
    void init() { timeout_when_idle(1s); }
    void handle(wait m) { timeout_when_idle(m.how_long); }
    void handle(nothing) { log_->push_back("nothing"); }
    task<> handle(slow m) {
        timeout_when_idle(m.how_long);
        co_await sleep_for(10s); // the span begins after the callback
    }
    void handle(idle_timeout) { log_->push_back("idle " + std::to_string(now().time_since_epoch() / 1ms)); }

private:
    log_ptr log_;
};

struct postman : gen_server<postman> {
    struct ask {
        using reply = std::string;
    };
    struct answer_twice {
        using reply = int;
    };
    struct answer {
        std::string text;
        using reply = bool; // whether somebody was waiting
    };
    struct answer_and_crash {
        using reply = int;
    };

    void handle(ask, from<std::string> f) { open_.emplace(std::move(f)); }
    bool handle(answer m) { return open_ && open_->reply(m.text); }
    void handle(answer_twice, from<int> f) {
        EXPECT_TRUE(f.reply(1));
        EXPECT_FALSE(f.reply(2));
    }
    void handle(answer_and_crash, from<int> f) {
        f.reply(3);
        throw std::runtime_error("after the answer");
    }

private:
    std::optional<from<std::string>> open_;
};

} // namespace

TEST(GenServer, AContinueRunsBeforeEveryOtherMessage) {
    under_seeds([](simulation& sim) {
        auto log = std::make_shared<std::vector<std::string>>();
        sim.run([log]() -> task<> {
            const server_ref<stepwise> s{"s"};
            const pid busy = spawn([s]() -> task<> { // sends as soon as there is a name
                while (!s.cast(stepwise::note{"early"})) co_await yield();
            });
            const time_point start = now();
            co_await up<stepwise>("s", log);
            EXPECT_EQ(now(), start); // the start does not wait for it
            const auto answer = co_await s.call<stepwise::work>("x");
            EXPECT_EQ(answer, "x");
            s.cast(stepwise::note{"last"});
            co_await sleep_for(1s);
            EXPECT_FALSE(is_alive(busy));
            EXPECT_EQ(log->at(1), "load first");
            EXPECT_EQ(log->at(2), "load second");
            EXPECT_EQ(log->at(3), "note from a continue");
            const auto work = std::ranges::find(*log, "work x");
            EXPECT_EQ(*(work + 1), "note after x");
            EXPECT_EQ(log->back(), "note last");
            EXPECT_EQ(log->size(), 8U);
            const auto before = co_await s.call<stepwise::crash_next>();
            EXPECT_EQ(before, 7); // the reply comes before the continue
            auto why = co_await end_of(s.pid() ? s.pid() : pid{});
            EXPECT_TRUE(why == exit_kind::error || why == exit_kind::noproc);
        });
        EXPECT_EQ(sim.live(), 0U);
    });
}

TEST(GenServer, AStopLetsNoContinueRun) {
    under_seeds([](simulation& sim) {
        auto log = std::make_shared<std::vector<std::string>>();
        sim.run([log]() -> task<> {
            const pid p = co_await up<stepwise>("s", log);
            const server_ref<stepwise> s{p};
            s.cast(stepwise::stop_with_a_rest{});
            auto why = co_await end_of(p);
            EXPECT_EQ(why.kind(), exit_kind::normal);
            EXPECT_EQ(log->back(), "note from a continue");
            // A kill amid the continues of init loses nothing either.
            const pid q = co_await up<stepwise>("s", log);
            exit(q, exit_kind::killed);
            why = co_await end_of(q);
            EXPECT_TRUE(why == exit_kind::killed || why == exit_kind::noproc);
        });
        EXPECT_EQ(sim.live(), 0U);
    });
}

TEST(GenServer, ACrashInTheContinueOfInitIsARestartAndNoFailedStart) {
    struct hasty : gen_server<hasty> {
        struct open {};
        explicit hasty(std::shared_ptr<int> n) : starts_(std::move(n)) {}
        void init() { continue_with<open>(); }
        void handle(open) {
            if (++*starts_ < 3) throw std::runtime_error("not yet");
        }
        std::shared_ptr<int> starts_;
    };
    under_seeds([](simulation& sim) {
        sim.run([]() -> task<> {
            auto starts = std::make_shared<int>(0);
            supervisor spec{strategy::one_for_one, {child<hasty>("h", starts)}};
            trap_exit(true);
            const auto sup = co_await start_link(spec, "top");
            EXPECT_TRUE(sup);
            co_await sleep_for(1s);
            EXPECT_EQ(*starts, 3);
            EXPECT_TRUE(whereis("h"));
            co_await stop(*sup);
        });
    });
}

TEST(GenServer, IsToldWhenNoMessageComesForAsLongAsItSaid) {
    under_seeds([](simulation& sim) {
        auto log = std::make_shared<std::vector<std::string>>();
        using lines = std::vector<std::string>;
        sim.run([log]() -> task<> {
            const server_ref<idler> s{co_await up<idler>("", log)};
            co_await sleep_for(10s);
            EXPECT_EQ(*log, (lines{"idle 1000"})); // once: it did not ask again
            s.cast(idler::wait{2s});
            co_await sleep_for(1s);
            s.cast(idler::nothing{}); // calls it off
            co_await sleep_for(10s);
            EXPECT_EQ(*log, (lines{"idle 1000", "nothing"}));
            s.cast(idler::wait{2s});
            co_await sleep_for(1s);
            send(s.pid(), 42); // so does what nobody handles
            co_await sleep_for(9s);
            EXPECT_EQ(log->size(), 2U);
            s.cast(idler::wait{infinity});
            co_await sleep_for(24h);
            EXPECT_EQ(log->size(), 2U);
            const auto start = now().time_since_epoch() / 1ms;
            s.cast(idler::slow{3s});
            co_await sleep_for(20s);
            EXPECT_EQ(log->back(), "idle " + std::to_string(start + 13'000));
        });
    });
}

TEST(GenServer, AnIdleTimeoutOfZeroComesAfterWhatIsThereAlready) {
    under_seeds([](simulation& sim) {
        auto log = std::make_shared<std::vector<std::string>>();
        sim.run([log]() -> task<> {
            const server_ref<idler> s{co_await up<idler>("", log)};
            s.cast(idler::slow{0s});
            co_await sleep_for(1s);
            s.cast(idler::nothing{}); // waits in the mailbox when the callback ends
            co_await sleep_for(20s);
            EXPECT_EQ(*log, (std::vector<std::string>{"nothing"}));
            s.cast(idler::wait{0s});
            co_await sleep_for(1ms);
            EXPECT_EQ(log->size(), 2U);
        });
    });
}

TEST(DelayedReply, IsGivenOnceAndOnlyToWhomStillWaits) {
    under_seeds([](simulation& sim) {
        sim.run([]() -> task<> {
            const pid p = co_await up<postman>("p");
            const server_ref<postman> s{p};
            const auto none = co_await s.call<postman::answer>("nobody asked");
            EXPECT_FALSE(none);
            const auto once = co_await s.call<postman::answer_twice>();
            EXPECT_EQ(once, 1);
            const auto late = co_await s.within(1s).try_call<postman::ask>();
            EXPECT_EQ(late.error().kind(), call_failure::timeout);
            const auto told = co_await s.call<postman::answer>(long_text);
            EXPECT_FALSE(told); // that caller has gone on
            const auto again = co_await s.call<postman::answer>(long_text);
            EXPECT_FALSE(again);
            const pid me = self();
            spawn([s, me]() -> task<> {
                auto r = co_await s.call<postman::ask>();
                send(me, std::move(r));
            });
            co_await sleep_for(1s);
            const auto now_told = co_await s.call<postman::answer>(long_text);
            EXPECT_TRUE(now_told);
            const auto text = co_await receive([](std::string t) { return t; });
            EXPECT_EQ(text, long_text);
            const auto last = co_await s.call<postman::answer_and_crash>();
            EXPECT_EQ(last, 3); // the answer counts, the crash comes after it
            while (is_alive(p)) co_await yield();
        });
    });
}

TEST(DelayedReply, ANewCallReplacesOneThatIsLetGoOf) {
    under_seeds([](simulation& sim) {
        sim.run([]() -> task<> {
            const server_ref<postman> s{co_await up<postman>("p")};
            const pid me = self();
            for (int i = 0; i < 2; ++i)
                spawn([s, me]() -> task<> {
                    auto r = co_await s.try_call<postman::ask>();
                    send(me, r ? *r : std::string{to_string(r.error().kind())});
                });
            co_await sleep_for(1s);
            const auto told = co_await s.call<postman::answer>("here");
            EXPECT_TRUE(told);
            std::vector<std::string> seen;
            for (int i = 0; i < 2; ++i) seen.push_back(co_await receive([](std::string t) { return t; }));
            std::ranges::sort(seen);
            EXPECT_EQ(seen,
                      (std::vector<std::string>{"here", std::string{to_string(call_failure::no_reply)}}));
        });
    });
}
