#include "gen_server_test_support.hpp"

#include <genever/otp/multi_call.hpp>
#include <genever/runtime/runtime.hpp>
#include <genever/runtime/timeout.hpp>

#include <string>
#include <vector>

using namespace genever;
using namespace genever::test;
using namespace std::chrono_literals;

namespace {

std::vector<server_ref<counter>> named(std::initializer_list<const char*> names) {
    std::vector<server_ref<counter>> all;
    for (const char* n : names) all.emplace_back(n);
    return all;
}

} // namespace

TEST(MultiCall, AsksAllAtOnceAndGivesTheAnswersInOrder) {
    under_seeds([](simulation& sim) {
        sim.run([]() -> task<> {
            co_await up<counter>("a", 1);
            co_await up<counter>("b", 2);
            co_await up<counter>("c", 3);
            const counter::get_slowly question{long_text, 2s};
            const auto servers = named({"c", "a", "b", "a"});
            const time_point start = now();
            auto asking = multi_call(servers, question);
            const auto all = co_await std::move(asking);
            EXPECT_EQ(now() - start, 4s); // a is asked twice, one after the other
            EXPECT_EQ(all.size(), 4U);
            for (std::size_t i = 0; i < 4; ++i) EXPECT_TRUE(all[i]);
            EXPECT_EQ(*all[0], 3);
            EXPECT_EQ(*all[1], 1);
            EXPECT_EQ(*all[2], 2);
            EXPECT_EQ(*all[3], 1);
            EXPECT_EQ(info(self())->mailbox_length, 0U);
        });
    });
}

TEST(MultiCall, TellsOfEachWhyItDidNotAnswer) {
    under_seeds([](simulation& sim) {
        sim.run([]() -> task<> {
            co_await up<counter>("quick", 1);
            co_await up<counter>("busy", 2);
            co_await up<counter>("doomed", 3);
            const server_ref<counter> busy{"busy"};
            const server_ref<counter> doomed{"doomed"};
            spawn([busy]() -> task<> { co_await busy.try_call<counter::get_slowly>("x", 1h); });
            spawn([doomed]() -> task<> { co_await doomed.try_call<counter::fail_call_later>(); });
            co_await sleep_for(100ms);
            const counter::get question{"x"};
            const auto servers = named({"quick", "busy", "nobody", "doomed"});
            const time_point start = now();
            auto asking = multi_call(servers, question, 2s);
            const auto all = co_await std::move(asking);
            EXPECT_EQ(now() - start, 2s);
            EXPECT_EQ(all[0].value(), 1);
            EXPECT_EQ(all[1].error().kind(), call_failure::timeout);
            EXPECT_EQ(all[2].error().kind(), call_failure::noproc);
            EXPECT_EQ(all[3].error().kind(), call_failure::exited);
            std::vector<server_ref<counter>> none;
            auto nobody = multi_call(none, question);
            const auto empty = co_await std::move(nobody);
            EXPECT_TRUE(empty.empty());
        });
    });
}

TEST(MultiCall, LeavesNothingBehindWhenTheCallerIsKilledOrGoesOn) {
    under_seeds([](simulation& sim) {
        sim.run([]() -> task<> {
            co_await up<counter>("a", 1);
            co_await up<counter>("b", 2);
            const std::size_t before = processes().size();
            const auto servers = named({"a", "b"});
            const pid caller = spawn([servers]() -> task<> {
                const counter::get_slowly question{"x", 1h};
                auto asking = multi_call(servers, question, infinity);
                co_await std::move(asking);
            });
            co_await sleep_for(1s);
            EXPECT_EQ(processes().size(), before + 4); // it, its caller, one for each server
            exit(caller, exit_kind::killed);
            co_await sleep_for(1s);
            EXPECT_EQ(processes().size(), before);
            const counter::get question{"x"};
            auto asking = multi_call(servers, question, infinity);
            const auto in_time = co_await with_timeout(1s, std::move(asking));
            EXPECT_FALSE(in_time); // both are busy for an hour
            co_await sleep_for(1s);
            EXPECT_EQ(processes().size(), before);
            EXPECT_EQ(info(self())->mailbox_length, 0U);
        });
    });
}

TEST(Abcast, ReachesEachThatIsThere) {
    under_seeds([](simulation& sim) {
        sim.run([]() -> task<> {
            co_await up<counter>("a", 0);
            co_await up<counter>("b", 0);
            const counter::increment message{long_text};
            const auto servers = named({"a", "nobody", "b"});
            EXPECT_EQ(abcast(servers, message), 2U);
            const counter::get question{long_text};
            auto asking = multi_call(servers, question);
            const auto all = co_await std::move(asking);
            EXPECT_EQ(all[0].value(), 1);
            EXPECT_FALSE(all[1]);
            EXPECT_EQ(all[2].value(), 1);
        });
    });
}

TEST(MultiCall, HoldsOnRealThreads) {
    runtime_options options;
    options.workers = 4;
    runtime rt{std::move(options)};
    rt.run([]() -> task<> {
        std::vector<server_ref<counter>> servers;
        for (int i = 0; i < 16; ++i) servers.emplace_back(co_await up<counter>("", i));
        const counter::get question{long_text};
        for (int n = 0; n < 200; ++n) {
            auto asking = multi_call(servers, question, 1min);
            const auto all = co_await std::move(asking);
            for (std::size_t i = 0; i < all.size(); ++i) EXPECT_EQ(all[i].value(), static_cast<int>(i));
        }
    });
}
