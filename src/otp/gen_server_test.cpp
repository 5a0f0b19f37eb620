#include "gen_server_test_support.hpp"

#include <genever/otp/gen_server.hpp>

#include <memory>
#include <string>
#include <vector>

using namespace genever;
using namespace genever::test;
using namespace std::chrono_literals;

namespace {

/// Records its life.
struct recorder : gen_server<recorder> {
    struct crash {};
    struct leave {};
    struct watch {
        genever::pid whom;
        using reply = void;
    };
    struct ping {
        using reply = genever::pid;
    };

    recorder(std::shared_ptr<std::vector<std::string>> to, bool traps) : to_(std::move(to)), traps_(traps) {}
    ~recorder() { to_->push_back("destroyed"); }

    task<> init() {
        trap_exit(traps_);
        co_await yield();
        to_->push_back("init");
    }
    void handle(crash) { throw std::runtime_error("crash"); }
    void handle(leave) { stop(); }
    void handle(watch m) { monitor(m.whom); }
    genever::pid handle(ping) { return self(); }
    void handle(const down& d) { to_->push_back("down " + to_string(d.reason)); }
    void handle(exit_signal s) { to_->push_back("exit " + to_string(s.reason)); }
    task<> terminate(const exit_reason& why) {
        co_await sleep_for(1s);
        to_->push_back("terminate " + to_string(why));
    }

private:
    std::shared_ptr<std::vector<std::string>> to_;
    bool traps_;
};
using record = std::shared_ptr<std::vector<std::string>>;

} // namespace

TEST(GenServer, ACoroutineHandlerHoldsUpTheOthers) {
    under_seeds([](simulation& sim) {
        sim.run([]() -> task<> {
            const server_ref<counter> c{co_await up<counter>("", 0)};
            const pid me = self();
            spawn([c, me]() -> task<> { send(me, co_await c.call<counter::get_slowly>(long_text, 2s)); });
            co_await sleep_for(1s);
            c.cast(counter::increment{long_text}); // after the slow one
            EXPECT_EQ(co_await c.call<counter::get>(long_text), 1);
            EXPECT_EQ(co_await receive([](int n) { return n; }), 0);
        });
    });
}

TEST(GenServer, LogsAndDropsWhatNobodyHandles) {
    caught_log log;
    under_seeds(
        [](simulation& sim) {
            sim.run([]() -> task<> {
                const server_ref<counter> c{co_await up<counter>("c", 1)};
                send(c.pid(), 42);
                send(c.pid(), long_text);
                EXPECT_EQ(co_await c.call<counter::get>(long_text), 1);
            });
        },
        5);
    EXPECT_NE(log.text().find("c <"), std::string::npos) << log.text();
    EXPECT_NE(log.text().find("received an unexpected message: std::string"), std::string::npos)
        << log.text();
}

TEST(GenServer, AFailedInitMakesTheStartFail) {
    struct fussy : gen_server<fussy> {
        task<> init(std::string how) {
            co_await sleep_for(1s);
            if (how == "throw") throw std::runtime_error("no start");
            if (how == "stop") stop(exit_reason::shutdown("not now"));
        }
    };
    under_seeds([](simulation& sim) {
        sim.run([]() -> task<> {
            auto r = co_await start<fussy>("fussy", std::string{"throw"});
            EXPECT_FALSE(r);
            EXPECT_EQ(r.error().text(), "no start");
            EXPECT_EQ(whereis("fussy"), pid{});
            r = co_await start<fussy>("fussy", std::string{"stop"});
            EXPECT_FALSE(r);
            EXPECT_EQ(r.error().kind(), exit_kind::shutdown);
            EXPECT_EQ(r.error().text(), "not now");
            r = co_await start<fussy>("fussy", std::string{"fine"});
            EXPECT_TRUE(r);
            EXPECT_EQ(whereis("fussy"), *r);
            auto again = co_await start<fussy>("fussy", std::string{"fine"});
            EXPECT_FALSE(again);
            EXPECT_NE(again.error().text().find("already started"), std::string_view::npos);
            trap_exit(true);
            auto linked = co_await start_link<fussy>("linked", std::string{"throw"});
            EXPECT_FALSE(linked);
            EXPECT_EQ(linked.error().text(), "no start");
            EXPECT_EQ(info(self())->mailbox_length, 0U);
        });
    });
}

TEST(GenServer, IsRegisteredBeforeItsInitRuns) {
    struct named : gen_server<named> {
        struct was {
            using reply = bool;
        };
        void init() { named_ = whereis("named") == self(); }
        bool handle(was) { return named_; }
        bool named_ = false;
    };
    under_seeds([](simulation& sim) {
        sim.run([]() -> task<> {
            co_await up<named>("named");
            const server_ref<named> n{"named"};
            EXPECT_TRUE(co_await n.call<named::was>());
        });
    });
}

TEST(GenServer, TerminatesAfterACrashAStopAndItsParentsShutdownOnly) {
    struct row {
        const char* how;
        bool traps;
        std::vector<std::string> life;
        exit_kind reason;
    };
    const std::vector<row> table{
        {"crash",
         false,
         {"init", "terminate error std::runtime_error: crash", "destroyed"},
         exit_kind::error},
        {"leave", false, {"init", "terminate normal", "destroyed"}, exit_kind::normal},
        {"parent", true, {"init", "terminate shutdown", "destroyed"}, exit_kind::shutdown},
        {"parent", false, {"init", "destroyed"}, exit_kind::shutdown},
        {"kill", true, {"init", "destroyed"}, exit_kind::killed},
        {"stranger", true, {"init", "exit shutdown", "terminate normal", "destroyed"}, exit_kind::normal},
    };
    under_seeds([&](simulation& sim) {
        for (const row& r : table) {
            SCOPED_TRACE(std::string{r.how} + (r.traps ? " trapping" : ""));
            auto life = std::make_shared<std::vector<std::string>>();
            auto reason = sim.run([&]() -> task<exit_reason> {
                trap_exit(true);
                auto started = co_await start_link<recorder>("r", life, r.traps);
                const server_ref<recorder> s{"r"};
                const pid p = *started;
                const std::string how = r.how;
                if (how == "crash") s.cast(recorder::crash{});
                if (how == "leave") s.cast(recorder::leave{});
                if (how == "parent") exit(p, exit_kind::shutdown);
                if (how == "kill") exit(p, exit_kind::killed);
                if (how == "stranger") {
                    spawn([p] { exit(p, exit_kind::shutdown); });
                    co_await sleep_for(1s);
                    s.cast(recorder::leave{});
                }
                auto signal = co_await receive([](exit_signal e) { return e; });
                co_return signal.reason;
            });
            EXPECT_EQ(*life, r.life);
            EXPECT_EQ(reason.kind(), r.reason);
        }
    });
}

TEST(GenServer, StopsAfterAnsweringTheCallThatAskedForIt) {
    under_seeds([](simulation& sim) {
        sim.run([]() -> task<> {
            const server_ref<counter> c{co_await up<counter>("c", 0)};
            const pid p = c.pid();
            EXPECT_EQ(co_await c.call<counter::finish>(exit_kind::shutdown), long_text);
            auto why = co_await end_of(p);
            EXPECT_TRUE(why == exit_kind::shutdown || why == exit_kind::noproc);
            EXPECT_EQ(whereis("c"), pid{});
        });
    });
}

TEST(GenServer, HearsOfItsMonitors) {
    under_seeds([](simulation& sim) {
        auto life = std::make_shared<std::vector<std::string>>();
        sim.run([&]() -> task<> {
            const server_ref<recorder> s{co_await up<recorder>("r", life, false)};
            const pid p = spawn([]() -> task<> {
                co_await sleep_for(1s);
                throw std::runtime_error("watched");
            });
            co_await s.call<recorder::watch>(p);
            co_await sleep_for(2s);
        });
        EXPECT_EQ(life->back(), "down error std::runtime_error: watched");
        life->clear();
    });
}

namespace {

struct ticker : gen_server<ticker> {
    struct tick {};
    struct once {
        std::string text;
    };
    struct cancel {
        using reply = bool;
    };
    struct read {
        using reply = std::string;
    };
    void init() {
        ticks_ = send_interval(1s, tick{});
        send_after(2500ms, once{long_text});
        never_ = send_after(1h, once{"never"});
    }
    void handle(tick) { seen_ += '.'; }
    void handle(once m) { seen_ += m.text; }
    bool handle(cancel) { return ticks_.cancel() && never_.cancel(); }
    std::string handle(read) { return seen_; }

private:
    timer_ref ticks_;
    timer_ref never_;
    std::string seen_;
};

} // namespace

TEST(GenServer, SendsItselfTimedMessages) {
    under_seeds([](simulation& sim) {
        sim.run([]() -> task<> {
            const server_ref<ticker> t{co_await up<ticker>("t")};
            co_await sleep_for(4500ms);
            EXPECT_EQ(co_await t.call<ticker::read>(), ".." + long_text + "..");
            EXPECT_TRUE(co_await t.call<ticker::cancel>());
            co_await sleep_for(2h);
            EXPECT_EQ(co_await t.call<ticker::read>(), ".." + long_text + "..");
        });
    });
}
