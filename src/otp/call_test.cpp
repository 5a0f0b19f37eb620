#include "gen_server_test_support.hpp"

#include <genever/otp/gen_server.hpp>

#include <algorithm>
#include <atomic>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

using namespace genever;
using namespace genever::test;
using namespace std::chrono_literals;

TEST(Call, CastsAreCountedAndCallsRead) {
    under_seeds([](simulation& sim) {
        sim.run([]() -> task<> {
            co_await up<counter>("hits", 100);
            const server_ref<counter> hits{"hits"};
            for (int i = 0; i < 3; ++i) EXPECT_TRUE(hits.cast(counter::increment{long_text}));
            EXPECT_TRUE(hits.cast<counter::increment>("other"));
            EXPECT_EQ(co_await hits.call<counter::get>(long_text), 103);
            const counter::get other{"other"};
            EXPECT_EQ(co_await hits.call(other), 101);
            co_await hits.call<counter::flush>();
            EXPECT_EQ(hits.pid(), whereis("hits"));
        });
    });
}

TEST(Call, ACallGivesUpAfterFiveSecondsAndTheLateReplyIsDropped) {
    under_seeds([](simulation& sim) {
        sim.run([]() -> task<> {
            const server_ref<counter> c{co_await up<counter>("slow", 0)};
            const auto before = now();
            auto r = co_await c.try_call<counter::get_slowly>(long_text, 5500ms);
            EXPECT_FALSE(r);
            EXPECT_EQ(r.error().kind(), call_failure::timeout);
            EXPECT_EQ(r.error().reason().kind(), exit_kind::timeout);
            EXPECT_NE(std::string{r.error().what()}.find("counter::get_slowly"), std::string::npos)
                << r.error().what();
            EXPECT_EQ(now() - before, 5s);
            EXPECT_EQ(co_await c.within(1s).call<counter::get_slowly>(long_text, 10ms),
                      0); // 500 ms for the first
            EXPECT_EQ(co_await c.within(infinity).call<counter::get_slowly>(long_text, 24h), 0);
            co_await sleep_for(1s);
            EXPECT_EQ(info(self())->mailbox_length, 0U);
        });
    });
}

TEST(Call, ACallToNobodyFailsAtOnce) {
    under_seeds([](simulation& sim) {
        sim.run([]() -> task<> {
            const server_ref<counter> nobody{"nobody"};
            EXPECT_FALSE(nobody.cast(counter::fail_cast{}));
            auto r = co_await nobody.try_call<counter::get>(long_text);
            EXPECT_FALSE(r);
            EXPECT_EQ(r.error().kind(), call_failure::noproc);
            EXPECT_EQ(r.error().reason().kind(), exit_kind::noproc);
            const pid dead = spawn([] {});
            co_await end_of(dead);
            const server_ref<counter> gone{dead};
            for (int i = 0; i < 10; ++i) {
                bool threw = false;
                try {
                    co_await gone.call<counter::get>(long_text);
                } catch (const call_error& e) {
                    threw = e.kind() == call_failure::noproc;
                }
                EXPECT_TRUE(threw);
            }
            EXPECT_EQ(now().time_since_epoch(), 0s);
        });
    });
}

TEST(Call, ACrashInAHandlerFailsItsCallerAndThoseWhoWaitWithTheReason) {
    under_seeds([](simulation& sim) {
        sim.run([]() -> task<> {
            for (int kind = 0; kind < 3; ++kind) {
                const server_ref<counter> c{co_await up<counter>("c", 0)};
                const pid me = self();
                auto report = [](const auto& r) {
                    return r ? std::string{"answer"}
                             : std::string{to_string(r.error().kind())} + ' ' +
                                   std::string{r.error().reason().text()};
                };
                spawn([=]() -> task<> {
                    if (kind == 0) {
                        auto r = co_await c.try_call<counter::fail_call>();
                        send(me, report(r));
                    } else {
                        auto r = co_await c.try_call<counter::fail_call_later>();
                        send(me, report(r));
                    }
                });
                co_await sleep_for(500ms);
                for (int i = 0; i < 3; ++i)
                    spawn([=]() -> task<> {
                        auto r = co_await c.try_call<counter::get>(long_text);
                        send(me, report(r));
                    });
                co_await sleep_for(100ms);
                if (kind == 2) exit(c.pid(), exit_kind::killed);
                const std::string first = co_await receive([](std::string s) { return s; });
                const char* waiting[] = {"no such process ", "the server exited later", "the server exited "};
                std::vector<std::string> got{first};
                for (int i = 0; i < 3; ++i) {
                    std::string s = co_await receive([](std::string s) { return s; });
                    got.push_back(s);
                }
                EXPECT_EQ(std::count(got.begin(), got.end(), waiting[kind]), kind == 0 ? 3 : 4)
                    << got[0] << got[1];
                if (kind == 0) {
                    EXPECT_EQ(std::count(got.begin(), got.end(), "the server exited boom"), 1)
                        << got[0] << got[1];
                }
            }
        });
    });
}

TEST(Call, TheCallerHearsOfAKillAsKilled) {
    under_seeds([](simulation& sim) {
        sim.run([]() -> task<> {
            for (const exit_kind how : {exit_kind::killed, exit_kind::shutdown}) {
                const server_ref<counter> c{co_await up<counter>("c", 0)};
                const pid victim = c.pid();
                spawn([victim, how]() -> task<> {
                    co_await sleep_for(1s);
                    exit(victim, how);
                });
                auto r = co_await c.try_call<counter::hang>();
                EXPECT_FALSE(r);
                EXPECT_EQ(r.error().kind(), call_failure::exited);
                EXPECT_EQ(r.error().reason().kind(), how);
                EXPECT_EQ(whereis("c"), pid{}); // its name is free before anybody hears of the end
            }
        });
    });
}

TEST(Call, AServerCannotCallItself) {
    struct selfish : gen_server<selfish> {
        struct ask {
            using reply = call_failure;
        };
        task<call_failure> handle(ask) {
            const server_ref<selfish> me{self()};
            auto r = co_await me.try_call<ask>();
            co_return r ? call_failure::timeout : r.error().kind();
        }
    };
    under_seeds([](simulation& sim) {
        sim.run([]() -> task<> {
            const server_ref<selfish> s{co_await up<selfish>("")};
            EXPECT_EQ(co_await s.call<selfish::ask>(), call_failure::calling_self);
            EXPECT_EQ(now().time_since_epoch(), 0s);
        });
    });
}

TEST(Call, AReferenceToAnotherTypeOfServerIsRefused) {
    struct other : gen_server<other> {
        struct ping {
            using reply = genever::pid;
        };
        genever::pid handle(ping) { return self(); }
    };
    caught_log log;
    under_seeds(
        [](simulation& sim) {
            sim.run([]() -> task<> {
                co_await up<other>("r");
                const server_ref<counter> wrong{"r"};
                auto r = co_await wrong.try_call<counter::get>(long_text);
                EXPECT_FALSE(r);
                EXPECT_EQ(r.error().kind(), call_failure::wrong_server);
                wrong.cast(counter::increment{long_text});
                const server_ref<other> right{"r"};
                EXPECT_EQ(co_await right.call<other::ping>(), right.pid());
            });
        },
        5);
    EXPECT_NE(log.text().find("unexpected message: "), std::string::npos) << log.text();
    EXPECT_NE(log.text().find("counter::increment"), std::string::npos) << log.text();
}

namespace {

/// Answers later.
struct broker : gen_server<broker> {
    struct wait_for {
        std::string key;
        using reply = std::string;
    };
    struct publish {
        std::string key;
        std::string value;
    };
    struct forget {
        std::string key;
    };
    struct take_and_throw {
        using reply = int;
    };
    struct wait_and_throw {
        using reply = int;
    };
    struct crash {};
    struct hand_over {
        using reply = std::string;
    };

    void handle(wait_for m, from<std::string> f) { waiting_.emplace(std::move(m.key), std::move(f)); }
    void handle(publish m) {
        auto [first, last] = waiting_.equal_range(m.key);
        for (auto i = first; i != last; ++i) told_ += i->second.reply(m.value);
        waiting_.erase(first, last);
    }
    void handle(const forget& m) { waiting_.erase(m.key); }
    void handle(take_and_throw, from<int>) { throw std::runtime_error("taken"); }
    task<> handle(wait_and_throw, from<int> f) {
        from<int> mine = std::move(f);
        co_await sleep_for(1s);
        throw std::runtime_error("waited");
    }
    void handle(crash) { throw std::runtime_error("crash"); }
    void handle(hand_over, from<std::string> f) {
        spawn(
            [](from<std::string> g) -> task<> {
                co_await sleep_for(1s);
                g.reply("from another process");
            },
            std::move(f));
    }

private:
    std::unordered_multimap<std::string, from<std::string>> waiting_;
    int told_ = 0;
};

} // namespace

TEST(Call, AnswersLater) {
    under_seeds([](simulation& sim) {
        sim.run([]() -> task<> {
            const server_ref<broker> b{co_await up<broker>("b")};
            const pid me = self();
            for (int i = 0; i < 3; ++i)
                spawn([b, me]() -> task<> { send(me, co_await b.call<broker::wait_for>(long_text)); });
            co_await sleep_for(1s);
            b.cast<broker::publish>(long_text, long_text + "!");
            for (int i = 0; i < 3; ++i)
                EXPECT_EQ(co_await receive([](std::string s) { return s; }), long_text + "!");
            EXPECT_EQ(co_await b.call<broker::hand_over>(), "from another process");
        });
    });
}

TEST(Call, ARequestThatIsLetGoOfFailsWithNoReplyOrWithTheServersEnd) {
    under_seeds([](simulation& sim) {
        sim.run([]() -> task<> {
            for (const char* how : {"forget", "crash", "kill"}) {
                const server_ref<broker> b{co_await up<broker>("b")};
                const std::string what = how;
                const pid p = b.pid();
                spawn([b, what, p]() -> task<> {
                    co_await sleep_for(1s);
                    if (what == "forget") b.cast(broker::forget{long_text});
                    if (what == "crash") b.cast(broker::crash{});
                    if (what == "kill") exit(p, exit_kind::killed);
                });
                auto r = co_await b.try_call<broker::wait_for>(long_text);
                EXPECT_FALSE(r);
                EXPECT_EQ(r.error().kind(), what == "forget" ? call_failure::no_reply : call_failure::exited)
                    << what;
                if (what == "crash") {
                    EXPECT_EQ(r.error().reason().text(), "crash");
                }
                if (what == "kill") {
                    EXPECT_EQ(r.error().reason().kind(), exit_kind::killed);
                }
                exit(p, exit_kind::killed);
                co_await end_of(p);
            }
            const server_ref<broker> b{"b"};
            co_await up<broker>("b");
            auto taken = co_await b.try_call<broker::take_and_throw>();
            EXPECT_EQ(taken.error().kind(), call_failure::exited);
            EXPECT_EQ(taken.error().reason().text(), "taken");
            co_await up<broker>("b");
            auto waited = co_await b.try_call<broker::wait_and_throw>();
            EXPECT_EQ(waited.error().kind(), call_failure::exited);
            EXPECT_EQ(waited.error().reason().text(), "waited");
        });
    });
}

TEST(Call, ACallerThatIsKilledWhileItWaitsIsLeftAlone) {
    under_seeds([](simulation& sim) {
        sim.run([&sim]() -> task<> {
            const server_ref<counter> c{co_await up<counter>("c", 7)};
            for (int i = 0; i < 10; ++i) {
                const pid caller = spawn([c]() -> task<> {
                    for (;;) co_await c.call<counter::get_slowly>(long_text, 1ms);
                });
                co_await sleep_for(std::chrono::microseconds{1 + sim.random(5000)});
                exit(caller, exit_kind::killed);
            }
            EXPECT_EQ(co_await c.call<counter::get>(long_text), 7);
        });
    });
}

// Every call is answered or fails, whatever happens to the server.
TEST(Call, NoCallHangsWhenAServerIsCrashedAThousandTimesOnRealThreads) {
    for (const unsigned workers : test::thread_counts) {
        runtime_options options;
        options.workers = workers;
        options.on_crash = [](const crash_report&) {};
        runtime rt{std::move(options)};
        struct tally {
            std::atomic<long> answered{0};
            std::atomic<long> failed{0};
            std::atomic<bool> stop{false};
        };
        auto t = std::make_shared<tally>();
        rt.run([t]() -> task<> {
            const int callers = 8;
            const pid me = self();
            const server_ref<counter> c{"victim"};
            for (int i = 0; i < callers; ++i)
                spawn([t, c, me, i]() -> task<> {
                    while (!t->stop) {
                        auto r = co_await c.within(1min).try_call<counter::get>(long_text);
                        if (r) {
                            ++t->answered;
                            continue;
                        }
                        ++t->failed;
                        EXPECT_NE(r.error().kind(), call_failure::timeout);
                        EXPECT_NE(r.error().kind(), call_failure::no_reply);
                        if (i % 2) c.cast(counter::increment{long_text});
                    }
                    send(me, i);
                });
            for (int n = 0; n < 1000; ++n) {
                auto started = co_await start<counter>("victim", n);
                EXPECT_TRUE(started);
                if (!started) break;
                for (int i = n % 7; i > 0; --i) co_await yield();
                switch (n % 3) {
                case 0: exit(*started, exit_kind::killed); break;
                case 1: c.cast(counter::fail_cast{}); break;
                default: {
                    auto r = co_await c.try_call<counter::fail_call>();
                    EXPECT_FALSE(r);
                }
                }
                co_await end_of(*started);
            }
            t->stop = true;
            for (int i = 0; i < callers; ++i) co_await receive([](int) {});
        });
        RecordProperty("answered", std::to_string(t->answered));
        RecordProperty("failed", std::to_string(t->failed));
        EXPECT_GT(t->answered, 0);
        EXPECT_GT(t->failed, 0);
    }
}
