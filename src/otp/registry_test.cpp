#include "gen_server_test_support.hpp"
#include "supervisor_test_support.hpp"

#include <genever/otp/registry.hpp>
#include <genever/otp/supervisor.hpp>
#include <genever/otp/via.hpp>
#include <genever/runtime/runtime.hpp>

#include <algorithm>
#include <compare>
#include <functional>
#include <memory>
#include <string>
#include <vector>

using namespace genever;
using namespace genever::test;
using namespace std::chrono_literals;

namespace {

using unique_names = registry<std::string, std::string>;
using topics = registry<std::string, int, registry_keys::duplicate>;

template <class R>
task<pid> up_registry(R r) {
    trap_exit(true);
    auto started = co_await r.start_link();
    if (!started) throw std::runtime_error("did not start: " + to_string(started.error()));
    co_return *started;
}

/// A process that does something and then waits.
template <class F>
task<pid> holder(F f) {
    const pid me = self();
    struct ready {
        pid who;
    };
    const pid p = spawn([me, f]() -> task<> {
        f();
        send(me, ready{self()});
        co_await receive([](std::nullptr_t) {});
    });
    for (;;) {
        auto r = co_await receive([](ready r) { return r; });
        if (r.who == p) co_return p;
    }
}

} // namespace

TEST(Registry, FindsUniqueKeysAndRefusesASecondOwner) {
    under_seeds([](simulation& sim) {
        unique_names names{"names"};
        sim.run([names]() -> task<> {
            co_await up_registry(names);
            auto h1 = holder([names] { EXPECT_TRUE(names.register_key(long_text, "first")); });
            const pid a = co_await std::move(h1);
            auto h2 = holder([names, a] {
                auto r = names.register_key(long_text, "second");
                EXPECT_FALSE(r.has_value());
                EXPECT_EQ(r.error().owner, a);
                EXPECT_TRUE(names.register_key("other", "b's"));
                r = names.register_key("other", "again"); // one's own, too
                EXPECT_EQ(r.error().owner, self());
            });
            const pid b = co_await std::move(h2);
            EXPECT_EQ(names.whereis(long_text), a);
            auto found = names.lookup(long_text);
            EXPECT_EQ(found.size(), 1U);
            EXPECT_EQ(found[0].pid, a);
            EXPECT_EQ(found[0].value, "first");
            EXPECT_TRUE(names.lookup("nobody").empty());
            EXPECT_EQ(names.whereis("nobody"), pid{});
            EXPECT_EQ(names.count(), 2U);
            EXPECT_EQ(names.keys(b), std::vector<std::string>{"other"});
            EXPECT_EQ(names.values("other", b), std::vector<std::string>{"b's"});
            EXPECT_TRUE(names.values("other", a).empty());
            EXPECT_EQ(names.unregister_key("other"), 0U); // not the caller's
            EXPECT_EQ(names.whereis("other"), b);
        });
    });
}

TEST(Registry, AKeyIsFreeBeforeAnybodyHearsOfItsOwnersEnd) {
    under_seeds([](simulation& sim) {
        unique_names names{"names", {.partitions = 3}};
        sim.run([names, &sim]() -> task<> {
            co_await up_registry(names);
            for (int i = 0; i < 5; ++i) {
                auto h3 = holder([names] { EXPECT_TRUE(names.register_key("key", "")); });
                const pid a = co_await std::move(h3);
                const monitor_ref ref = monitor(a);
                exit(a, sim.random(2) ? exit_reason{exit_kind::killed} : exit_reason{exit_kind::shutdown});
                co_await receive([](down) {});
                EXPECT_EQ(names.whereis("key"), pid{});
                EXPECT_TRUE(names.lookup("key").empty());
                EXPECT_TRUE(names.keys(a).empty());
                EXPECT_TRUE(names.register_key("key", "mine"));
                EXPECT_EQ(names.unregister_key("key"), 1U);
                (void)ref;
            }
            co_await sleep_for(1s);
            EXPECT_EQ(names.count(), 0U);
        });
    });
}

TEST(Registry, TakesDuplicateKeysInOrderAndDispatchesToThem) {
    under_seeds([](simulation& sim) {
        topics t{"topics", {.partitions = 2}};
        sim.run([t]() -> task<> {
            co_await up_registry(t);
            std::vector<pid> who;
            for (int i = 0; i < 5; ++i) {
                auto h4 = holder([t, i] {
                    EXPECT_TRUE(t.register_key("news", i));
                    if (i == 2) {
                        EXPECT_TRUE(t.register_key("news", 20));
                    }
                    if (i == 3) {
                        EXPECT_TRUE(t.register_key("sports", 30));
                    }
                });
                const pid p = co_await std::move(h4);
                who.push_back(p);
            }
            std::vector<int> values;
            int calls = 0;
            t.dispatch("news", [&](std::span<const topics::entry> all) {
                ++calls;
                for (const auto& e : all) values.push_back(e.value);
                // No lock is held: the registry can be asked from here.
                EXPECT_EQ(t.lookup("sports").size(), 1U);
            });
            EXPECT_EQ(values, (std::vector<int>{0, 1, 2, 20, 3, 4}));
            t.dispatch("nothing", [&](std::span<const topics::entry>) { ++calls; });
            EXPECT_EQ(calls, 1);
            EXPECT_EQ(t.keys(who[2]).size(), 2U);
            EXPECT_EQ(t.keys(who[3]).size(), 2U);
            EXPECT_EQ(t.values("news", who[2]).size(), 2U);
            EXPECT_EQ(t.count(), 7U);
            exit(who[2], exit_kind::killed);
            co_await sleep_for(1s);
            EXPECT_EQ(t.count(), 5U);
            EXPECT_EQ(t.lookup("news").size(), 4U);
            t.register_key("news", 1);
            t.register_key("news", 2);
            EXPECT_EQ(t.unregister_key("news"), 2U);
            EXPECT_EQ(t.lookup("news").size(), 4U);
        });
    });
}

TEST(Registry, UpdatesTheCallersOwnValue) {
    under_seeds(
        [](simulation& sim) {
            unique_names names{"names"};
            sim.run([names]() -> task<> {
                co_await up_registry(names);
                EXPECT_TRUE(names.register_key("mine", "a"));
                auto r = names.update_value("mine", [&](const std::string& old) {
                    EXPECT_EQ(names.lookup("mine").size(), 1U); // no lock is held
                    return old + "b";
                });
                EXPECT_EQ(r->first, "ab");
                EXPECT_EQ(r->second, "a");
                EXPECT_EQ(names.lookup("mine")[0].value, "ab");
                EXPECT_FALSE(names.update_value("nobody's", [](const std::string& s) { return s; }));
                auto h5 = holder([names] { EXPECT_TRUE(names.register_key("other's", "")); });
                co_await std::move(h5);
                EXPECT_FALSE(names.update_value("other's", [](const std::string& s) { return s; }));
            });
        },
        20);
}

namespace {

struct room : gen_server<room> {
    struct who {
        using reply = pid;
    };
    struct crash {};
    explicit room(bool refuses = false) : refuses_(refuses) {}
    void init() {
        if (refuses_) stop(exit_reason::error("full"));
    }
    pid handle(who) { return self(); }
    void handle(crash) { throw std::runtime_error("crash"); }

private:
    bool refuses_;
};

} // namespace

TEST(Registry, NamesServersByVia) {
    under_seeds([](simulation& sim) {
        registry<int> rooms{"rooms"};
        sim.run([rooms]() -> task<> {
            supervisor spec{strategy::one_for_one, {child(rooms), child<room>(via(rooms, 7))}};
            const pid sup = co_await genever::test::up(spec);
            const server_ref<room> ref{via(rooms, 7)};
            EXPECT_EQ(ref, server_ref<room>{via(rooms, 7)});
            EXPECT_NE(ref, server_ref<room>{via(rooms, 8)});
            EXPECT_EQ(ref.name(), "rooms/7");
            const pid before = rooms.whereis(7);
            EXPECT_EQ(co_await ref.call<room::who>(), before);
            ref.cast<room::crash>();
            co_await sleep_for(1s);
            EXPECT_NE(rooms.whereis(7), before);
            EXPECT_EQ(co_await ref.call<room::who>(), rooms.whereis(7)); // it follows the name

            auto second = co_await start<room>(via(rooms, 7));
            EXPECT_FALSE(second.has_value());
            EXPECT_NE(second.error().text().find("already started"), std::string_view::npos);
            auto third = co_await start_link<room>(via(rooms, 8));
            EXPECT_EQ(rooms.whereis(8), *third);
            // A start that fails has given the name back when it is heard of.
            for (int i = 0; i < 3; ++i) {
                auto refused = co_await start<room>(via(rooms, 9), true);
                EXPECT_EQ(refused.error().text(), "full");
            }
            const server_ref<room> nobody{via(rooms, 100)};
            auto r = co_await nobody.try_call<room::who>();
            EXPECT_EQ(r.error().kind(), call_failure::noproc);
            exit(sup, exit_kind::shutdown);
            for (;;) {
                auto s = co_await receive([](exit_signal s) { return s; });
                if (s.from == sup) break;
            }
            bool refused = false;
            try {
                rooms.register_key(1);
            } catch (const std::runtime_error&) {
                refused = true;
            }
            EXPECT_TRUE(refused);
        });
    });
}

TEST(Registry, ItsCrashEndsItsUsersAndItBeginsAnewEmpty) {
    under_seeds([](simulation& sim) {
        unique_names names{"names", {.partitions = 2}};
        sim.run([names]() -> task<> {
            supervisor spec{strategy::one_for_one, {child(names)}};
            const pid sup = co_await genever::test::up(spec);
            auto h6 = holder([names] { EXPECT_TRUE(names.register_key("a", "")); });
            const pid a = co_await std::move(h6);
            auto h7 = holder([names] {
                trap_exit(true);
                EXPECT_TRUE(names.register_key("b", ""));
            });
            const pid b = co_await std::move(h7);
            exit(whereis("names#0"), exit_kind::killed);
            exit(whereis("names#1"), exit_kind::killed);
            co_await sleep_for(1s);
            EXPECT_FALSE(is_alive(a));
            EXPECT_TRUE(is_alive(b));
            EXPECT_EQ(names.count(), 0U);
            EXPECT_TRUE(names.register_key("b", "mine"));
            names.unregister_key("b");
            exit(b, exit_kind::killed);
            co_await genever::test::stop(sup);
        });
        EXPECT_EQ(sim.live(), 0U);
    });
}

TEST(Registry, UnlinksThoseThatHaveNoKeysAnyMore) {
    under_seeds(
        [](simulation& sim) {
            unique_names names{"names"};
            sim.run([names]() -> task<> {
                const pid r = co_await up_registry(names);
                auto h8 = holder([names] {
                    names.register_key("a", "");
                    names.register_key("b", "");
                    names.unregister_key("a");
                    names.unregister_key("b");
                });
                const pid a = co_await std::move(h8);
                exit(r, exit_kind::killed);
                co_await sleep_for(1s);
                EXPECT_TRUE(is_alive(a));
                exit(a, exit_kind::killed);
            });
        },
        20);
}

TEST(Registry, AnythingAtAnyTimeLeavesOneLivingOwnerForEachKey) {
    under_seeds([](simulation& sim) {
        unique_names names{"names", {.partitions = 2}};
        sim.run([names, &sim]() -> task<> {
            co_await up_registry(names);
            auto life = [names, &sim]() -> task<> {
                for (;;) {
                    const std::string key = "key" + std::to_string(sim.random(3));
                    if (auto r = names.register_key(key, ""); r) {
                        EXPECT_EQ(names.whereis(key), self());
                    }
                    co_await yield();
                    if (sim.random(4) == 0) names.unregister_key(key);
                    if (sim.random(10) == 0) co_return;
                }
            };
            std::vector<pid> all;
            for (int i = 0; i < 200; ++i) {
                all.push_back(spawn(life));
                if (sim.random(2)) exit(all[sim.random(all.size())], exit_kind::killed);
                co_await yield();
                for (int k = 0; k < 3; ++k) {
                    const std::string key = "key" + std::to_string(k);
                    const pid p = names.whereis(key);
                    if (p) {
                        EXPECT_TRUE(is_alive(p));
                    }
                    EXPECT_LE(names.lookup(key).size(), 1U);
                }
            }
            for (const pid p : all) exit(p, exit_kind::killed);
            co_await sleep_for(1s);
            EXPECT_EQ(names.count(), 0U);
        });
    });
}

namespace {

/// A key whose comparison throws, when it is told to, or does something.
struct touchy {
    int value = 0;
    static inline int comparisons_left = 1 << 30;
    static inline std::function<void()> on_comparison;
    bool operator==(const touchy& o) const {
        if (on_comparison) on_comparison();
        if (--comparisons_left < 0) throw std::runtime_error("not now");
        return value == o.value;
    }
};
struct touchy_hash {
    std::size_t operator()(const touchy&) const noexcept { return 7; } // all meet all
};

template <registry_keys Keys>
void fail_at_each_comparison() {
    registry<touchy, int, Keys, touchy_hash> r{"touchy"};
    simulation sim{1};
    sim.run([r]() -> task<> {
        co_await up_registry(r);
        for (int allowed = 0; allowed < 8; ++allowed) {
            auto failing = holder([r, allowed] {
                EXPECT_TRUE(r.register_key({1}, 1).has_value());
                EXPECT_TRUE(r.register_key({2}, 2).has_value());
                touchy::comparisons_left = allowed;
                bool thrown = false;
                try {
                    (void)r.register_key({Keys == registry_keys::unique ? 3 : 1}, 3);
                } catch (const std::runtime_error&) {
                    thrown = true;
                }
                touchy::comparisons_left = 1 << 30;
                EXPECT_EQ(r.count(), thrown ? 2U : 3U);
                EXPECT_EQ(r.keys(self()).size(), r.count());
            });
            const pid p = co_await std::move(failing);
            exit(p, exit_kind::killed);
            co_await sleep_for(1s);
            EXPECT_EQ(r.count(), 0U) << "an entry has outlived its owner";
            EXPECT_TRUE(r.lookup({1}).empty());
        }
    });
}

} // namespace

TEST(Registry, ARegistrationThatFailsHalfwayLeavesNothing) {
    fail_at_each_comparison<registry_keys::unique>();
    fail_at_each_comparison<registry_keys::duplicate>();
}

// Between the note for the owner's end and the listing, where another one may still be quicker.
TEST(Registry, AKeyIsNobodysBeforeItIsListed) {
    registry<touchy, int, registry_keys::unique, touchy_hash> r{"touchy"};
    simulation sim{1};
    sim.run([r]() -> task<> {
        co_await up_registry(r);
        auto first = holder([r] { EXPECT_TRUE(r.register_key({1}, 1).has_value()); });
        co_await std::move(first);
        auto second = holder([r] {
            int comparisons = 0;
            touchy::on_comparison = [&] {
                ++comparisons;
                EXPECT_TRUE(r.keys(self()).empty());
            };
            EXPECT_TRUE(r.register_key({2}, 2).has_value());
            touchy::on_comparison = {};
            EXPECT_GE(comparisons, 2) << "one to look, one to list";
            EXPECT_EQ(r.keys(self()).size(), 1U);
        });
        co_await std::move(second);
    });
}

TEST(Registry, TakesAHundredThousandEntriesInConstantTimeEach) {
    simulation sim{1};
    topics t{"topics"};
    sim.run([t]() -> task<> {
        co_await up_registry(t);
        constexpr int many = 100'000;
        auto h9 = holder([t] {
            for (int i = 0; i < many; ++i) t.register_key("one", i); // all under one key
        });
        const pid a = co_await std::move(h9);
        for (int i = 0; i < many; ++i) t.register_key("one", -1);
        EXPECT_EQ(t.lookup("one").size(), 2U * many);
        exit(a, exit_kind::killed);
        co_await sleep_for(1s);
        EXPECT_EQ(t.count(), many);
        EXPECT_EQ(t.unregister_key("one"), many);
        EXPECT_EQ(t.count(), 0U);
    });
}

TEST(Registry, ServesManyProcessesOnRealThreads) {
    runtime_options options;
    options.workers = 4;
    runtime rt{options};
    topics t{"topics", {.partitions = 4}};
    unique_names names{"names", {.partitions = 4}};
    rt.run([t, names]() -> task<> {
        co_await up_registry(t);
        co_await up_registry(names);
        const pid me = self();
        for (int k = 0; k < 16; ++k) {
            auto worker = [t, names, me, k]() -> task<> {
                for (int i = 0; i < 300; ++i) {
                    const std::string key = "key" + std::to_string((k + i) % 5);
                    t.register_key(key, i);
                    const bool got = names.register_key(key, std::to_string(k)).has_value();
                    for (const auto& e : t.lookup(key)) EXPECT_TRUE(e.pid);
                    if (got) {
                        EXPECT_EQ(names.whereis(key), self());
                        names.update_value(key, [](const std::string& s) { return s + "!"; });
                    }
                    if (i % 3 == 0) co_await yield();
                    if (got) {
                        EXPECT_EQ(names.unregister_key(key), 1U);
                    }
                    if (i % 7 != 0) t.unregister_key(key);
                    auto brief = [t, names, key] {
                        t.register_key(key, -1);
                        names.register_key(key, "brief");
                    };
                    spawn(brief);
                }
                send(me, k);
            };
            spawn(worker);
        }
        for (int k = 0; k < 16; ++k) co_await receive([](int) {});
        for (;;) {
            if (t.count() == 0 && names.count() == 0) break;
            co_await yield();
        }
    });
}
