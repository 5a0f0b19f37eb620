#include "gen_server_test_support.hpp"
#include "supervisor_test_support.hpp"

#include <genever/otp/gen_statem.hpp>
#include <genever/otp/supervisor.hpp>
#include <genever/otp/sys.hpp>

#include <memory>
#include <optional>
#include <string>
#include <vector>

using namespace genever;
using namespace genever::test;
using namespace std::chrono_literals;

namespace {

using lines = std::vector<std::string>;
using log_ptr = std::shared_ptr<lines>;

// ---- the door of the docstring

struct door : gen_statem<door> {
    struct locked {
        std::string entered;
    };
    struct open {};
    using states = state_list<locked, open>;

    struct button {
        char digit;
    };
    struct is_open {
        using reply = bool;
    };
    struct forget {};
    struct close {};

    explicit door(std::string code) : code_(std::move(code)) {}
    locked init() { return {}; }

    transition handle(locked& s, button b) {
        s.entered += b.digit;
        if (s.entered == code_) return next_state(open{});
        return keep_state().timeout("forget", 10s, forget{});
    }
    transition handle(open&, button) { return keep_state().postpone(); }
    statem_entry enter(open&) { return actions().state_timeout(30s, close{}); }
    transition handle(close) { return next_state(locked{}); }
    void handle(locked& s, forget) { s.entered.clear(); }
    void handle(open&, forget) {}
    bool handle(locked&, is_open) { return false; }
    bool handle(open&, is_open) { return true; }

    std::string entered() const {
        const auto* s = const_cast<door*>(this)->in<locked>();
        return s ? s->entered : "open";
    }

private:
    std::string code_;
};

void press(const server_ref<door>& d, std::string_view digits) {
    for (const char c : digits) d.cast(door::button{c});
}

// ---- a machine that does as each event says, and writes down what happens

struct machine : gen_statem<machine> {
    struct one {
        int n = 0;
    };
    struct two {};
    using states = state_list<one, two>;

    struct say {
        std::string what;
    };
    struct later_in_two { // postponed by one
        std::string what;
    };
    struct go_two {};
    struct go_one {};
    struct again {};
    struct same {};
    struct many {};
    struct zeros {};
    struct zero_then_change {};
    struct arm {
        duration state, event, named;
    };
    struct disarm {};
    struct ask {
        using reply = std::string;
    };
    struct ask_in_two {
        std::string text;
        using reply = std::string;
    };
    struct ask_slowly {
        using reply = int;
    };
    struct keep_it {
        using reply = int;
    };
    struct give_back {};
    struct reply_and_postpone {
        using reply = int;
    };
    struct fail {};
    struct leave {
        exit_kind why;
    };
    struct number {
        using reply = int;
    };

    explicit machine(log_ptr l) : log_(std::move(l)) {}
    transition init() { return next_state(one{}).next_event(say{"inserted by init"}); }
    void enter(one& s) {
        ++s.n;
        note("enter one");
    }
    task<statem_entry> enter(two&) {
        co_await yield();
        note("enter two");
        co_return actions();
    }
    void terminate(const exit_reason& why) { note("terminate " + to_string(why)); }

    void handle(const say& m) { note(m.what); }
    transition handle(one&, const later_in_two& m) {
        note("postpone " + m.what);
        return keep_state().postpone();
    }
    void handle(two&, const later_in_two& m) { note(m.what); }
    transition handle(go_two) { return next_state(two{}).next_event(say{"i1"}).next_event(say{"i2"}); }
    transition handle(go_one) { return next_state(one{}); }
    transition handle(again) { return repeat_state(); }
    transition handle(one& s, same) { return next_state(one{s.n + 10}); }
    transition handle(two&, same) { return next_state(two{}); }
    transition handle(many) { return keep_state().next_event(say{"m1"}).next_event(say{"m2"}); }
    transition handle(zeros) {
        return keep_state()
            .event_timeout(0s, say{"zero event"}) // the others stop it
            .state_timeout(0s, say{"zero state"})
            .timeout("n", 0s, say{"zero named"})
            .next_event(say{"before the zeros"});
    }
    transition handle(zero_then_change) {
        return keep_state()
            .state_timeout(0s, say{"never"})
            .timeout("n", 0s, say{"ever"})
            .next_event(go_two{});
    }
    transition handle(arm m) {
        return keep_state()
            .state_timeout(m.state, say{"state timeout"})
            .event_timeout(m.event, say{"event timeout"})
            .timeout("a name", m.named, say{"named timeout"});
    }
    transition handle(disarm) { return keep_state().cancel_state_timeout().cancel_timeout("a name"); }
    std::string handle(one&, ask) { return "in one"; }
    std::string handle(two&, ask) { return "in two"; }
    transition handle(one&, const ask_in_two&, from<std::string>&) { return keep_state().postpone(); }
    transition handle(two&, ask_in_two m, from<std::string>& f) {
        f.reply(m.text + "!");
        return keep_state();
    }
    task<int> handle(ask_slowly) {
        co_await sleep_for(1s);
        co_return 7;
    }
    void handle(keep_it, from<int>& f) { kept_.emplace(std::move(f)); }
    void handle(give_back) {
        if (kept_) kept_->reply(9);
    }
    transition handle(reply_and_postpone, from<int>& f) {
        f.reply(1);
        return keep_state().postpone();
    }
    void handle(fail) { throw std::runtime_error("failed"); }
    transition handle(leave m) { return stop(m.why); }
    int handle(one& s, number) { return s.n; }
    int handle(two&, number) { return -1; }
    void handle(const down& d) { note("down " + to_string(d.reason)); }

    void note(std::string what) { log_->push_back(std::move(what)); }

private:
    log_ptr log_;
    std::optional<from<int>> kept_;
};

struct fussy : gen_statem<fussy> {
    struct only {};
    using states = state_list<only>;
    transition init(std::string how) {
        if (how == "stop") return stop(exit_reason::shutdown("not now"));
        if (how == "none") return keep_state();
        return next_state(only{}).postpone();
    }
};

/// What a fresh machine notes after it has got `events` at once.
template <class F>
lines after(simulation& sim, F act, duration how_long = 1h) {
    auto log = std::make_shared<lines>();
    sim.run([&, log]() -> task<> {
        const pid p = co_await genever::test::up<machine>("m", log);
        const server_ref<machine> m{p};
        co_await sleep_for(1ms);
        EXPECT_EQ(*log, (lines{"enter one", "inserted by init"}));
        log->clear();
        act(m);
        co_await sleep_for(how_long);
        exit(p, exit_kind::killed);
        co_await end_of(p);
    });
    return *log;
}

} // namespace

TEST(GenStatem, OpensTheDoorForTheCodeAndLocksItAgain) {
    under_seeds([](simulation& sim) {
        sim.run([]() -> task<> {
            supervisor spec{strategy::one_for_one, {child<door>("door", std::string{"1234"})}};
            const pid sup = co_await genever::test::up(spec);
            const server_ref<door> d{"door"};
            press(d, "123");
            EXPECT_FALSE(co_await d.call<door::is_open>());
            press(d, "4");
            EXPECT_TRUE(co_await d.call<door::is_open>());
            press(d, "12"); // postponed: they count when it is locked again
            co_await sleep_for(29s);
            EXPECT_TRUE(co_await d.call<door::is_open>());
            co_await sleep_for(2s);
            EXPECT_FALSE(co_await d.call<door::is_open>());
            const auto entered = co_await sys::get_state(d, [](const door& x) { return x.entered(); });
            EXPECT_EQ(entered, "12");
            press(d, "3");
            co_await sleep_for(11s); // too slow: forgotten
            press(d, "4");
            EXPECT_FALSE(co_await d.call<door::is_open>());
            co_await sleep_for(11s);
            press(d, "1234");
            EXPECT_TRUE(co_await d.call<door::is_open>());
            co_await stop(sup);
        });
        EXPECT_EQ(sim.live(), 0U);
    });
}

TEST(GenStatem, StartsOnlyWithAFirstState) {
    under_seeds([](simulation& sim) {
        sim.run([]() -> task<> {
            auto r = co_await start<fussy>("f", std::string{"stop"});
            EXPECT_EQ(r.error().text(), "not now");
            r = co_await start<fussy>("f", std::string{"none"});
            EXPECT_EQ(r.error().kind(), exit_kind::error);
            r = co_await start<fussy>("f", std::string{"right"});
            EXPECT_TRUE(r);
            const auto status = co_await sys::get_status(*r);
            EXPECT_FALSE(status.suspended);
        });
    });
}

// ---- OTP's order of events

TEST(GenStatem, RetriesPostponedEventsAfterAChangeOfStateAndInsertsEventsBeforeThem) {
    under_seeds([](simulation& sim) {
        const lines seen = after(sim, [](const server_ref<machine>& m) {
            m.cast(machine::later_in_two{"p1"});
            m.cast(machine::say{"between"});
            m.cast(machine::later_in_two{"p2"});
            m.cast(machine::go_two{});
            m.cast(machine::say{"last"});
        });
        EXPECT_EQ(seen, (lines{"postpone p1", "between", "postpone p2", "enter two", "i1", "i2", "p1", "p2",
                               "last"}));
    });
}

TEST(GenStatem, KeepsPostponedEventsWhileTheStateDoesNotChange) {
    under_seeds([](simulation& sim) {
        const lines seen = after(sim, [](const server_ref<machine>& m) {
            m.cast(machine::later_in_two{"p"});
            m.cast(machine::same{});  // new data, the same state: no enter call
            m.cast(machine::again{}); // an enter call, the same state
            m.cast(machine::say{"end"});
        });
        EXPECT_EQ(seen, (lines{"postpone p", "enter one", "end"}));
    });
}

TEST(GenStatem, APostponedEventCanBePostponedAgain) {
    under_seeds([](simulation& sim) {
        const lines seen = after(sim, [](const server_ref<machine>& m) {
            m.cast(machine::go_two{});
            m.cast(machine::go_one{});
            m.cast(machine::later_in_two{"p"});
            m.cast(machine::go_two{});
        });
        EXPECT_EQ(seen,
                  (lines{"enter two", "i1", "i2", "enter one", "postpone p", "enter two", "i1", "i2", "p"}));
    });
}

TEST(GenStatem, InsertsEventsInTheirOrderBeforeTheMailbox) {
    under_seeds([](simulation& sim) {
        const lines seen = after(sim, [](const server_ref<machine>& m) {
            m.cast(machine::many{});
            m.cast(machine::say{"external"});
        });
        EXPECT_EQ(seen, (lines{"m1", "m2", "external"}));
    });
}

TEST(GenStatem, ATimeoutOfZeroComesAfterWhatWaitsInTheMachineAndBeforeTheMailbox) {
    under_seeds([](simulation& sim) {
        lines seen = after(sim, [](const server_ref<machine>& m) {
            m.cast(machine::zeros{});
            m.cast(machine::say{"external"});
        });
        EXPECT_EQ(seen, (lines{"before the zeros", "zero state", "zero named", "external"}));
        seen = after(sim, [](const server_ref<machine>& m) {
            m.cast(machine::arm{infinity, 0s, infinity});
            m.cast(machine::say{"external"});
        });
        EXPECT_EQ(seen, (lines{"event timeout", "external"}));
        // A change of the state stops the one, not the other.
        seen = after(sim, [](const server_ref<machine>& m) { m.cast(machine::zero_then_change{}); });
        EXPECT_EQ(seen, (lines{"enter two", "i1", "i2", "ever"}));
    });
}

TEST(GenStatem, StopsEachKindOfTimeoutByWhatStopsIt) {
    struct row {
        const char* name;
        void (*act)(const server_ref<machine>&);
        lines seen;
    };
    const std::vector<row> table{
        {"nothing", [](const server_ref<machine>&) {}, {"event timeout", "state timeout", "named timeout"}},
        {"an event",
         [](const server_ref<machine>& m) { m.cast(machine::say{"x"}); },
         {"x", "state timeout", "named timeout"}},
        {"the same state",
         [](const server_ref<machine>& m) { m.cast(machine::same{}); },
         {"state timeout", "named timeout"}},
        {"another state",
         [](const server_ref<machine>& m) { m.cast(machine::go_two{}); },
         {"enter two", "i1", "i2", "named timeout"}},
        {"by hand", [](const server_ref<machine>& m) { m.cast(machine::disarm{}); }, {}},
        {"infinity",
         [](const server_ref<machine>& m) { m.cast(machine::arm{infinity, infinity, infinity}); },
         {}},
        {"started again",
         [](const server_ref<machine>& m) { m.cast(machine::arm{9s, infinity, 8s}); },
         {"named timeout", "state timeout"}},
    };
    under_seeds([&](simulation& sim) {
        for (const row& r : table) {
            SCOPED_TRACE(r.name);
            const lines seen = after(sim, [&](const server_ref<machine>& m) {
                m.cast(machine::arm{2s, 1s, 3s});
                r.act(m);
            });
            EXPECT_EQ(seen, r.seen);
        }
    });
}

// ---- calls

TEST(GenStatem, AnswersCallsByItsStateAndPostponesThem) {
    under_seeds([](simulation& sim) {
        auto log = std::make_shared<lines>();
        sim.run([log]() -> task<> {
            const server_ref<machine> m{co_await genever::test::up<machine>("m", log)};
            const auto in_one = co_await m.call<machine::ask>();
            EXPECT_EQ(in_one, "in one");
            const auto slow = co_await m.call<machine::ask_slowly>();
            EXPECT_EQ(slow, 7);
            const pid me = self();
            spawn([m, me]() -> task<> {
                auto r = co_await m.call<machine::ask_in_two>(long_text);
                send(me, std::move(r));
            });
            spawn([m, me]() -> task<> {
                auto r = co_await m.call<machine::keep_it>();
                send(me, r);
            });
            co_await sleep_for(1s);
            m.cast(machine::same{});
            m.cast(machine::go_two{});
            const auto text = co_await receive([](std::string s) { return s; });
            EXPECT_EQ(text, long_text + "!");
            m.cast(machine::give_back{});
            const int nine = co_await receive([](int n) { return n; });
            EXPECT_EQ(nine, 9);
            const auto in_two = co_await m.call<machine::ask>();
            EXPECT_EQ(in_two, "in two");
        });
    });
}

TEST(GenStatem, APostponedCallFailsWithTheMachinesEnd) {
    under_seeds([](simulation& sim) {
        sim.run([]() -> task<> {
            const lines ways{"fail", "leave", "kill", "misuse"};
            for (const auto& how : ways) {
                auto log = std::make_shared<lines>();
                const pid p = co_await genever::test::up<machine>("m", log);
                const server_ref<machine> m{p};
                spawn([m, how]() -> task<> {
                    co_await sleep_for(1s);
                    if (how == "fail") m.cast(machine::fail{});
                    if (how == "leave") m.cast(machine::leave{exit_kind::shutdown});
                    if (how == "kill") exit(m.pid(), exit_kind::killed);
                    if (how == "misuse") co_await m.try_call<machine::reply_and_postpone>();
                });
                const auto r = co_await m.try_call<machine::ask_in_two>(long_text);
                EXPECT_FALSE(r);
                EXPECT_EQ(r.error().kind(), call_failure::exited) << how;
                EXPECT_EQ(r.error().reason().kind(), how == "leave"  ? exit_kind::shutdown
                                                     : how == "kill" ? exit_kind::killed
                                                                     : exit_kind::error)
                    << how << ' ' << to_string(r.error().reason());
                co_await sleep_for(1s);
                EXPECT_FALSE(whereis("m"));
                EXPECT_EQ(log->back().starts_with("terminate"), how != "kill");
            }
        });
        EXPECT_EQ(sim.live(), 0U);
    });
}

TEST(GenStatem, KeepsAStatesDataUntilItIsLeft) {
    under_seeds([](simulation& sim) {
        auto log = std::make_shared<lines>();
        sim.run([log]() -> task<> {
            const server_ref<machine> m{co_await genever::test::up<machine>("m", log)};
            m.cast(machine::again{});
            int n = co_await m.call<machine::number>();
            EXPECT_EQ(n, 2);
            m.cast(machine::same{});
            n = co_await m.call<machine::number>();
            EXPECT_EQ(n, 12);
            m.cast(machine::go_two{});
            m.cast(machine::go_one{});
            n = co_await m.call<machine::number>();
            EXPECT_EQ(n, 1);
        });
    });
}

TEST(GenStatem, HearsOfItsMonitorsAsEvents) {
    under_seeds([](simulation& sim) {
        auto log = std::make_shared<lines>();
        sim.run([log]() -> task<> {
            const server_ref<machine> m{co_await genever::test::up<machine>("m", log)};
            const pid other = spawn([]() -> task<> { co_await sleep_for(1s); });
            co_await sys::replace_state(m, [other](machine&) { monitor(other); });
            co_await sleep_for(2s);
            EXPECT_EQ(log->back(), "down normal");
        });
    });
}

TEST(GenStatem, IsSuspendedAndResumedLikeAnyServer) {
    under_seeds([](simulation& sim) {
        auto log = std::make_shared<lines>();
        sim.run([log]() -> task<> {
            const pid p = co_await genever::test::up<machine>("m", log);
            const server_ref<machine> m{p};
            m.cast(machine::arm{1s, infinity, infinity});
            co_await sys::suspend(p);
            co_await sleep_for(1h);
            EXPECT_NE(log->back(), "state timeout");
            co_await sys::resume(p);
            co_await sleep_for(1ms);
            EXPECT_EQ(log->back(), "state timeout");
        });
    });
}
