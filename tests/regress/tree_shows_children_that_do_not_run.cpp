// /tree gave a child that was down an uptime that grew, and told neither who was busy nor who was being restarted.
#include "showcase/tree.hpp"

#include "showcase/rate_limiter.hpp"
#include "showcase/siblings.hpp"

#include "runtime/simulation_test_support.hpp"

#include <genever/genever.hpp>

#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <stdexcept>
#include <string>

using namespace genever;
using namespace std::chrono_literals;

namespace {

struct conditions {
    bool refuses = false;
    duration start_takes = 0s;
    duration answer_takes = 0s;
};

/// A child whose start and whose work go as the test says.
struct moody : gen_server<moody> {
    struct work {};

    explicit moody(std::shared_ptr<conditions> c) : conditions_(std::move(c)) {}
    task<> init() {
        if (conditions_->start_takes > 0s) co_await sleep_for(conditions_->start_takes);
        if (conditions_->refuses) throw std::runtime_error("refuses");
    }
    task<> handle(work) { co_await sleep_for(conditions_->answer_takes); }

private:
    std::shared_ptr<conditions> conditions_;
};

/// The child of that name in a description of the tree.
boost::json::object child_of(const boost::json::value& tree, std::string_view name) {
    for (const auto& c : tree.at("children").as_array())
        if (c.at("name").as_string() == name) return c.as_object();
    ADD_FAILURE() << "no child " << name;
    return {};
}

std::string status_of(const boost::json::value& node) { return std::string{node.at("status").as_string()}; }

/// Runs `body` beside a tree of hit_counter, "moody" and a supervisor "inner" over "deep", which is moody as well.
template <class F>
void beside_a_tree(F body) {
    test::under_seeds(
        [&](simulation& sim) {
            auto c = std::make_shared<conditions>();
            sim.run([&]() -> task<> {
                trap_exit(true);
                supervisor inner{strategy::one_for_one, {child<moody>("deep", c)}};
                inner.max_restarts(1'000'000);
                supervisor top{strategy::one_for_one,
                               {child<showcase::hit_counter>("hit_counter"), child<moody>("moody", c),
                                child<supervisor>("inner", std::move(inner))}};
                top.max_restarts(1'000'000);
                const auto root = co_await start_link(std::move(top), "root");
                EXPECT_TRUE(root);
                co_await body(*c);
                *c = {};
                exit(*root, exit_kind::killed);
                co_await receive([](exit_signal) {});
            });
        },
        20);
}

} // namespace

TEST(Regress, TreeGivesAChildThatIsDownNoUptime) {
    beside_a_tree([](conditions&) -> task<> {
        co_await sleep_for(10s);
        const supervisor_ref root{"root"};
        const auto terminated = co_await root.terminate_child("moody");
        EXPECT_TRUE(terminated);
        for (int i = 0; i < 2; ++i) {
            const boost::json::value tree = co_await showcase::describe_tree();
            EXPECT_EQ(status_of(tree), "running");
            const auto down = child_of(tree, "moody");
            EXPECT_EQ(status_of(down), "down");
            EXPECT_TRUE(down.at("pid").is_null());
            EXPECT_EQ(down.at("uptime_ms"), 0);
            const auto up = child_of(tree, "hit_counter");
            EXPECT_EQ(status_of(up), "running");
            EXPECT_GE(up.at("uptime_ms").to_number<int>(), 10'000 * (i + 1));
            EXPECT_EQ(up.at("state").at("hits"), 0);
            co_await sleep_for(10s);
        }
        const auto found = co_await showcase::find_child("moody");
        EXPECT_EQ(found.kind, showcase::found_child::what::down);
    });
}

TEST(Regress, TreeShowsAChildThatIsBeingRestarted) {
    beside_a_tree([](conditions& c) -> task<> {
        c.refuses = true;
        exit(whereis("moody"), exit_kind::killed);
        for (int looks = 0;; ++looks) {
            const boost::json::value tree = co_await showcase::describe_tree();
            const auto node = child_of(tree, "moody");
            const std::string status = status_of(node);
            if (status == "restarting") {
                EXPECT_TRUE(node.at("pid").is_null());
                EXPECT_EQ(node.at("uptime_ms"), 0);
                break;
            }
            EXPECT_TRUE(status == "running" || status == "down")
                << status; // as long as nobody has seen its end
            if (looks == 1000) {
                ADD_FAILURE() << "never shown as restarting";
                break;
            }
            co_await yield();
        }
        c.refuses = false;
    });
}

TEST(Regress, TreeShowsWhoIsBusy) {
    beside_a_tree([](conditions& c) -> task<> {
        c.start_takes = 1h;
        exit(whereis("deep"), exit_kind::killed);
        co_await sleep_for(1s);
        const boost::json::value tree = co_await showcase::describe_tree();
        EXPECT_EQ(status_of(tree), "running");
        const auto inner = child_of(tree, "inner");
        EXPECT_EQ(status_of(inner), "busy");
        EXPECT_FALSE(inner.at("pid").is_null());
        EXPECT_TRUE(inner.at("children").as_array().empty());
        const auto hidden = co_await showcase::find_child("deep");
        EXPECT_EQ(hidden.kind, showcase::found_child::what::busy) << "it may be below the busy one";
        const auto found = co_await showcase::find_child("hit_counter");
        EXPECT_EQ(found.kind, showcase::found_child::what::running);
        const auto top = co_await showcase::find_child("root");
        EXPECT_NE(top.kind, showcase::found_child::what::running) << "nobody's child";
    });
}

TEST(Regress, TreeFindsChildrenBelowTheTopAlone) {
    beside_a_tree([](conditions&) -> task<> {
        using what = showcase::found_child::what;
        const auto deep = co_await showcase::find_child("deep");
        EXPECT_EQ(deep.kind, what::running);
        EXPECT_EQ(deep.pid, whereis("deep"));
        EXPECT_EQ(deep.top, "inner");
        const auto inner = co_await showcase::find_child("inner");
        EXPECT_EQ(inner.top, "inner");
        for (std::string name : {"root", "nobody", ""}) {
            const auto none = co_await showcase::find_child(name);
            EXPECT_EQ(none.kind, what::unknown) << name;
        }
    });
}
