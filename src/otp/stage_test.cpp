#include "gen_server_test_support.hpp"
#include "supervisor_test_support.hpp"

#include <genever/otp/stage.hpp>
#include <genever/otp/supervisor.hpp>
#include <genever/runtime/runtime.hpp>

#include <algorithm>
#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

using namespace genever;
using namespace genever::test;
using namespace std::chrono_literals;

namespace {

/// What a pipeline's stages record; guarded, for real threads.
struct record {
    std::mutex lock;
    int next = 0;      // the next number the source gives
    int last = 0;      // it has numbers below this
    int most_left = 0; // the most that were made and not consumed at a time
    std::size_t biggest_batch = 0;
    std::vector<std::string> seen;
    duration work = 0s;
    int crash_at = -1;
    int times_asked = 0;
};
using record_ptr = std::shared_ptr<record>;

struct numbers {
    using event = int;
    explicit numbers(record_ptr r) : r_(std::move(r)) {}
    std::vector<int> handle_demand(std::size_t n) {
        std::lock_guard g{r_->lock};
        ++r_->times_asked;
        std::vector<int> some;
        while (some.size() < n && r_->next < r_->last) some.push_back(r_->next++);
        r_->most_left = std::max(r_->most_left, r_->next - static_cast<int>(r_->seen.size()));
        return some;
    }

private:
    record_ptr r_;
};

struct slow_numbers : numbers {
    static constexpr duration poll_again = 1s;
    using numbers::numbers;
    task<std::vector<int>> handle_demand(std::size_t n) {
        co_await yield();
        auto some = numbers::handle_demand(n);
        co_return some;
    }
};

// Each even number gives two texts, each odd one none.
struct evens_twice {
    using event = int;
    using output = std::string;
    std::vector<std::string> handle_events(std::vector<int> in) {
        std::vector<std::string> out;
        for (int i : in)
            for (int k = 0; k < (i % 2 == 0 ? 2 : 0); ++k) out.push_back(std::to_string(i));
        return out;
    }
};
struct to_text {
    using event = int;
    using output = std::string;
    task<std::vector<std::string>> handle_events(std::vector<int> in) {
        std::vector<std::string> out;
        for (int i : in) out.push_back(std::to_string(i));
        co_await yield();
        co_return out;
    }
};

template <class T>
struct collector {
    using event = T;
    explicit collector(record_ptr r) : r_(std::move(r)) {}
    task<> handle_events(std::vector<T> batch) {
        {
            std::lock_guard g{r_->lock};
            r_->biggest_batch = std::max(r_->biggest_batch, batch.size());
        }
        if (r_->work > 0s) co_await sleep_for(r_->work);
        std::lock_guard g{r_->lock};
        for (auto& e : batch) {
            if constexpr (std::is_same_v<T, int>) {
                if (e == r_->crash_at) {
                    r_->crash_at = -1;
                    throw std::runtime_error("crash");
                }
                r_->seen.push_back(std::to_string(e));
            } else {
                r_->seen.push_back(std::move(e));
            }
        }
    }

private:
    record_ptr r_;
};

template <class Source>
child_spec source(const record_ptr& r) {
    return child<producer<Source>>("source", r);
}
template <class Source = producer<numbers>>
child_spec sink(const record_ptr& r, const std::string& name, stage_options o,
                const std::string& from = "source") {
    using T = typename Source::out_event;
    return child<consumer<collector<T>>>(name, subscribe_to<Source>(from), o, r);
}

std::size_t distinct(std::vector<std::string> v) {
    std::ranges::sort(v);
    return static_cast<std::size_t>(std::ranges::unique(v).begin() - v.begin());
}

} // namespace

TEST(Stage, MakesNoMoreThanIsAskedForAndLosesNothing) {
    under_seeds([](simulation& sim) {
        auto r = std::make_shared<record>();
        r->last = 1000;
        r->work = 1ms;
        sim.run([r]() -> task<> {
            const stage_options ten{.max_demand = 10, .min_demand = 6, .cancel = cancel_mode::permanent};
            supervisor spec{strategy::rest_for_one,
                            {source<numbers>(r), sink(r, "a", ten), sink(r, "b", ten), sink(r, "c", ten)}};
            const pid sup = co_await genever::test::up(spec);
            co_await sleep_for(1h);
            EXPECT_EQ(r->seen.size(), 1000U);
            EXPECT_EQ(distinct(r->seen), 1000U);
            EXPECT_LE(r->most_left, 30);
            EXPECT_LE(r->biggest_batch, 4U);
            co_await genever::test::stop(sup);
        });
        EXPECT_EQ(sim.live(), 0U);
    });
}

TEST(Stage, OneConsumerSeesTheOrderThroughAStageInBetween) {
    under_seeds([](simulation& sim) {
        auto r = std::make_shared<record>();
        r->last = 300;
        sim.run([r]() -> task<> {
            const stage_options few{.max_demand = 7, .min_demand = 0, .cancel = cancel_mode::permanent};
            supervisor spec{strategy::rest_for_one,
                            {source<numbers>(r),
                             child<producer_consumer<evens_twice>>(
                                 "middle", subscribe_to<producer<numbers>>("source"), few),
                             sink<producer_consumer<evens_twice>>(r, "sink", few, "middle")}};
            const pid sup = co_await genever::test::up(spec);
            co_await sleep_for(1h);
            std::vector<std::string> expected;
            for (int i = 0; i < 300; i += 2) expected.insert(expected.end(), 2, std::to_string(i));
            EXPECT_EQ(r->seen, expected);
            co_await genever::test::stop(sup);
        });
        EXPECT_EQ(sim.live(), 0U);
    });
}

TEST(Stage, AsksAgainAfterAWhileOrWhenItIsTold) {
    under_seeds([](simulation& sim) {
        auto r = std::make_shared<record>();
        sim.run([r]() -> task<> {
            const stage_options few{.max_demand = 4, .min_demand = {}, .cancel = cancel_mode::permanent};
            supervisor spec{strategy::rest_for_one,
                            {source<slow_numbers>(r), sink<producer<slow_numbers>>(r, "sink", few)}};
            pid sup = co_await genever::test::up(spec);
            co_await sleep_for(10s);
            EXPECT_TRUE(r->seen.empty());
            r->last = 10;
            co_await sleep_for(2s);
            EXPECT_EQ(r->seen.size(), 10U);
            co_await genever::test::stop(sup);

            supervisor quiet{strategy::rest_for_one, {source<numbers>(r), sink(r, "sink", few)}};
            sup = co_await genever::test::up(quiet);
            co_await sleep_for(1s); // the consumer has asked
            r->last = 20;
            co_await sleep_for(10s);
            EXPECT_EQ(r->seen.size(), 10U);
            EXPECT_TRUE(notify_producer(server_ref<producer<numbers>>{"source"}));
            co_await sleep_for(1s);
            EXPECT_EQ(r->seen.size(), 20U);
            co_await genever::test::stop(sup);
        });
    });
}

TEST(Stage, ANotifiedProducerPollsNoMoreOftenThanBefore) {
    under_seeds([](simulation& sim) {
        auto r = std::make_shared<record>();
        sim.run([r]() -> task<> {
            const stage_options few{.max_demand = 4, .min_demand = {}, .cancel = cancel_mode::permanent};
            supervisor spec{strategy::rest_for_one,
                            {source<slow_numbers>(r), sink<producer<slow_numbers>>(r, "sink", few)}};
            const pid sup = co_await genever::test::up(spec);
            for (int i = 0; i < 20; ++i) {
                EXPECT_TRUE(notify_producer(server_ref<producer<slow_numbers>>{"source"}));
                co_await sleep_for(10ms);
            }
            r->times_asked = 0;
            co_await sleep_for(10s);
            EXPECT_GE(r->times_asked, 9);
            EXPECT_LE(r->times_asked, 10); // once a second, not once for each notify and second
            co_await genever::test::stop(sup);
        });
        EXPECT_EQ(sim.live(), 0U);
    });
}

TEST(Stage, GoesOnAfterTheCrashOfAConsumerAndOfTheProducer) {
    under_seeds([](simulation& sim) {
        auto r = std::make_shared<record>();
        r->last = 200;
        r->work = 1ms;
        r->crash_at = 20;
        sim.run([r, &sim]() -> task<> {
            const stage_options few{.max_demand = 5, .min_demand = {}, .cancel = cancel_mode::permanent};
            supervisor spec{strategy::rest_for_one,
                            {source<numbers>(r), sink(r, "a", few), sink(r, "b", few)}};
            spec.max_restarts(100);
            const pid sup = co_await genever::test::up(spec);
            co_await sleep_for(duration{sim.random(30'000'000)});
            exit(whereis(sim.random(2) ? "source" : "b"), exit_kind::killed);
            co_await sleep_for(1h);
            EXPECT_EQ(r->next, 200);
            EXPECT_EQ(distinct(r->seen), r->seen.size());
            EXPECT_GE(r->seen.size(), 200U - 2 * 2 * 5); // what two crashes had in their hands
            co_await genever::test::stop(sup);
        });
        EXPECT_EQ(sim.live(), 0U);
    });
}

TEST(Stage, AConsumersEndFollowsItsProducersAsItIsTold) {
    under_seeds(
        [](simulation& sim) {
            for (auto mode : {cancel_mode::permanent, cancel_mode::transient, cancel_mode::temporary})
                for (auto how : {exit_kind::shutdown, exit_kind::killed}) {
                    auto r = std::make_shared<record>();
                    sim.run([=]() -> task<> {
                        const pid s = co_await genever::test::up<producer<numbers>>("source", r);
                        const stage_options o{.max_demand = 5, .min_demand = {}, .cancel = mode};
                        const pid c = co_await genever::test::up<consumer<collector<int>>>(
                            "sink", subscribe_to<producer<numbers>>("source"), o, r);
                        exit(s, how);
                        co_await sleep_for(1s);
                        const bool ends = mode == cancel_mode::permanent ||
                                          (mode == cancel_mode::transient && how == exit_kind::killed);
                        EXPECT_EQ(is_alive(c), !ends);
                        exit(c, exit_kind::killed);
                        co_await sleep_for(1s);
                    });
                }
        },
        30);
}

TEST(Stage, RefusesToStartWithoutAProducerOrWithoutSense) {
    simulation sim{1};
    auto r = std::make_shared<record>();
    sim.run([r]() -> task<> {
        auto from = subscribe_to<producer<numbers>>("nobody");
        auto none = co_await start<consumer<collector<int>>>("sink", from, stage_options{}, r);
        EXPECT_FALSE(none.has_value());
        for (const stage_options o : {stage_options{.max_demand = 0, .min_demand = {}, .cancel = {}},
                                      stage_options{.max_demand = 5, .min_demand = 5, .cancel = {}}}) {
            auto bad = co_await start<consumer<collector<int>>>("sink", from, o, r);
            EXPECT_NE(bad.error().type().find("invalid_argument"), std::string_view::npos);
        }
    });
}

TEST(Stage, ASecondSubscriptionOfAProcessIsItsOwnErrorOnly) {
    under_seeds([](simulation& sim) {
        auto r = std::make_shared<record>();
        r->last = 100;
        sim.run([r]() -> task<> {
            const pid s = co_await genever::test::up<producer<numbers>>("source", r);
            const pid m = co_await genever::test::up<producer_consumer<to_text>>(
                "middle", subscribe_to<producer<numbers>>("source"), stage_options{});
            const pid c = co_await genever::test::up<consumer<collector<std::string>>>(
                "sink", subscribe_to<producer_consumer<to_text>>("middle"), stage_options{}, r);
            auto greedy = [r]() -> task<> {
                auto from = subscribe_to<producer<numbers>>("source");
                auto once = from.subscribe(self(), [](std::vector<int>) {});
                co_await std::move(once);
                auto twice = from.subscribe(self(), [](std::vector<int>) {});
                co_await std::move(twice);
            };
            spawn_monitor(greedy);
            auto greedier = [r]() -> task<> {
                auto from = subscribe_to<producer_consumer<to_text>>("middle");
                auto once = from.subscribe(self(), [](std::vector<std::string>) {});
                co_await std::move(once);
                auto twice = from.subscribe(self(), [](std::vector<std::string>) {});
                co_await std::move(twice);
            };
            spawn_monitor(greedier);
            for (int i = 0; i < 2; ++i) {
                auto d = co_await receive([](down d) { return d; });
                EXPECT_NE(d.reason.text().find("has subscribed to the stage"), std::string_view::npos)
                    << to_string(d.reason);
            }
            co_await sleep_for(1s);
            EXPECT_TRUE(is_alive(s) && is_alive(m) && is_alive(c));
            EXPECT_EQ(r->seen.size(), 100U);
            for (pid p : {c, m, s}) exit(p, exit_kind::killed);
            co_await sleep_for(1s);
        });
        EXPECT_EQ(sim.live(), 0U);
    });
}

TEST(Stage, RunsAPipelineOnRealThreads) {
    runtime_options options;
    options.workers = 4;
    runtime rt{options};
    auto r = std::make_shared<record>();
    r->last = 20'000;
    rt.run([r]() -> task<> {
        const stage_options o{.max_demand = 50, .min_demand = {}, .cancel = cancel_mode::permanent};
        supervisor spec{
            strategy::rest_for_one,
            {source<numbers>(r),
             child<producer_consumer<to_text>>("m1", subscribe_to<producer<numbers>>("source"), o),
             child<producer_consumer<to_text>>("m2", subscribe_to<producer<numbers>>("source"), o),
             sink<producer_consumer<to_text>>(r, "a", o, "m1"),
             sink<producer_consumer<to_text>>(r, "b", o, "m1"),
             sink<producer_consumer<to_text>>(r, "c", o, "m2")}};
        const pid sup = co_await genever::test::up(spec);
        for (;;) {
            {
                std::lock_guard g{r->lock};
                if (r->seen.size() == 20'000) break;
            }
            co_await sleep_for(1ms);
        }
        EXPECT_EQ(distinct(r->seen), 20'000U);
        co_await genever::test::stop(sup);
    });
}
