#include "gen_server_test_support.hpp"
#include "supervisor_test_support.hpp"

#include <genever/otp/application.hpp>

#include <cstdlib>
#include <stdexcept>
#include <string>
#include <vector>

using namespace genever;
using namespace genever::test;
using namespace std::chrono_literals;

namespace {

supervisor one(const script_ptr& s, const std::string& name) {
    std::vector<child_spec> only{a_probe(s, name)};
    return supervisor{strategy::one_for_one, std::move(only)}.max_restarts(0);
}

application app(const script_ptr& s, const std::string& name, std::vector<std::string> needs = {}) {
    return application{name}
        .depends_on(std::move(needs))
        .supervise(one(s, name + "_child"))
        .on_stop([s, name] { s->events.push_back("stopped " + name); });
}

std::vector<application> three(const script_ptr& s, application_type of_b = application_type::permanent) {
    std::vector<application> all;
    all.push_back(app(s, "web", {"b", "db"}));
    all.push_back(app(s, "b", {"db"}).type(of_b));
    all.push_back(app(s, "db"));
    return all;
}

task<pid> up_applications(applications all) {
    trap_exit(true);
    auto started = co_await start_link(std::move(all));
    if (!started) throw std::runtime_error(std::string{started.error().text()});
    co_return *started;
}

std::string refusal(std::vector<application> all) {
    try {
        applications a{std::move(all)};
    } catch (const std::invalid_argument& e) {
        return e.what();
    }
    return "";
}

} // namespace

TEST(Application, StartsAfterWhatItDependsOnAndStopsBeforeIt) {
    under_seeds([](simulation& sim) {
        auto s = std::make_shared<script>();
        sim.run([s]() -> task<> {
            const pid p = co_await up_applications(applications{three(s)});
            EXPECT_EQ(s->events, (names{"+db_child", "+b_child", "+web_child"}));
            auto started = co_await started_applications();
            EXPECT_EQ(started, (names{"db", "b", "web"}));
            s->events.clear();
            co_await genever::test::stop(p);
            EXPECT_EQ(s->events, (names{"-web_child", "stopped web", "-b_child", "stopped b", "-db_child",
                                        "stopped db"}));
        });
        EXPECT_EQ(sim.live(), 0U);
    });
}

TEST(Application, RefusesWhatHasNoOrder) {
    auto s = std::make_shared<script>();
    EXPECT_NE(refusal({app(s, "a", {"b"}), app(s, "b", {"c"}), app(s, "c", {"b"})}).find("b -> c -> b"),
              std::string::npos);
    EXPECT_NE(refusal({app(s, "a", {"x"})}).find("depends on x, which is not there"), std::string::npos);
    EXPECT_NE(refusal({app(s, "a"), app(s, "a")}).find("two applications are named a"), std::string::npos);
    EXPECT_NE(refusal({application{""}}).find("no name"), std::string::npos);
    EXPECT_EQ(refusal({application{"library"}, app(s, "a", {"library"})}), "");
}

TEST(Application, AStartThatFailsStopsThoseBeforeIt) {
    under_seeds([](simulation& sim) {
        auto s = std::make_shared<script>();
        s->refuses = "web_child";
        sim.run([s]() -> task<> {
            trap_exit(true);
            auto started = co_await start_link(applications{three(s)});
            EXPECT_FALSE(started.has_value());
            EXPECT_NE(started.error().text().find("the application web could not be started"),
                      std::string_view::npos);
            EXPECT_EQ(s->events,
                      (names{"+db_child", "+b_child", "-b_child", "stopped b", "-db_child", "stopped db"}));
        });
        EXPECT_EQ(sim.live(), 0U);
    });
}

TEST(Application, ItsEndMeansWhatItsTypeSays) {
    under_seeds(
        [](simulation& sim) {
            for (auto type :
                 {application_type::permanent, application_type::transient, application_type::temporary}) {
                auto s = std::make_shared<script>();
                sim.run([s, type]() -> task<> {
                    const pid p = co_await up_applications(applications{three(s, type)});
                    end_child("b_child", exit_kind::error); // its tree gives up at once
                    if (type == application_type::temporary) {
                        co_await sleep_for(1s);
                        auto left = co_await started_applications();
                        EXPECT_EQ(left, (names{"db", "web"}));
                        co_await genever::test::stop(p);
                    } else {
                        auto why = co_await ended(p);
                        EXPECT_EQ(why.kind(), exit_kind::shutdown);
                        EXPECT_EQ(why.text(), "the application b has ended");
                    }
                    const auto& e = s->events;
                    EXPECT_EQ(names(e.end() - 4, e.end()),
                              (names{"-web_child", "stopped web", "-db_child", "stopped db"}));
                });
                EXPECT_EQ(sim.live(), 0U);
            }
        },
        50);
}

TEST(Application, KilledAtAnyMomentItLeavesNothing) {
    under_seeds([](simulation& sim) {
        auto s = std::make_shared<script>();
        sim.run([s, &sim]() -> task<> {
            trap_exit(true);
            auto starter = [s]() -> task<> {
                auto started = co_await start_link(applications{three(s)});
                co_await sleep_for(1h);
            };
            const pid p = spawn_link(starter);
            for (auto n = sim.random(60); n > 0; --n) co_await yield();
            if (sim.random(2))
                exit(whereis("applications"), exit_kind::killed);
            else
                exit(p, exit_kind::killed);
            co_await receive([](exit_signal) {}, after(2h, [] {}));
            exit(p, exit_kind::killed);
            co_await sleep_for(1h);
        });
        EXPECT_EQ(sim.live(), 0U);
    });
}

TEST(ApplicationEnv, LooksInTheEnvironmentThenInWhatIsStored) {
    EXPECT_EQ(get_env<int>("shop", "size"), std::nullopt);
    EXPECT_EQ(get_env<int>("shop", "size", 7), 7);
    EXPECT_THROW(fetch_env<int>("shop", "size"), std::out_of_range);
    put_env("shop", "size", 8);
    EXPECT_EQ(fetch_env<int>("shop", "size"), 8);
    setenv("SHOP_SIZE", "9", 1);
    EXPECT_EQ(fetch_env<int>("shop", "size"), 9);
    setenv("SHOP_SIZE", "", 1);
    EXPECT_EQ(fetch_env<int>("shop", "size"), 8);
    setenv("SHOP_SIZE", "nine", 1);
    try {
        (void)get_env<int>("shop", "size", 1);
        ADD_FAILURE();
    } catch (const std::invalid_argument& e) {
        EXPECT_STREQ(
            e.what(),
            "genever: the environment variable SHOP_SIZE is 'nine', and must be a whole number in range");
    }
    unsetenv("SHOP_SIZE");
    delete_env("shop", "size");
    EXPECT_EQ(get_env<int>("shop", "size"), std::nullopt);
}

TEST(ApplicationEnv, KeepsEachTypeAsItIs) {
    put_env("t", "bool", true);
    EXPECT_EQ(get_env<bool>("t", "bool"), true);
    put_env("t", "double", 0.1);
    EXPECT_EQ(get_env<double>("t", "double"), 0.1);
    put_env("t", "text", "a b");
    EXPECT_EQ(get_env<std::string>("t", "text"), "a b");
    put_env("t", "time", 1500ms);
    EXPECT_EQ(get_env<duration>("t", "time"), 1500ms);
    put_env("t", "time", infinity);
    EXPECT_EQ(get_env<duration>("t", "time"), infinity);
    for (auto [text, length] : {std::pair<const char*, duration>{"10us", 10us}, {"2h", 2h}, {"3m", 3min}}) {
        put_env("t", "time", text);
        EXPECT_EQ(get_env<duration>("t", "time"), length);
    }
    for (const char* wrong : {"", "5", "s", "5 s", "9999999999h"}) {
        put_env("t", "time", wrong);
        EXPECT_THROW((void)get_env<duration>("t", "time"), std::invalid_argument);
    }
    put_env("t", "n", 300);
    EXPECT_THROW((void)get_env<std::uint8_t>("t", "n"), std::invalid_argument);
    for (auto [text, value] : {std::pair{"on", true}, {"no", false}, {"1", true}}) {
        put_env("t", "bool", text);
        EXPECT_EQ(get_env<bool>("t", "bool"), value);
    }
}

TEST(ApplicationEnv, AnApplicationsOwnSettingsAreDefaults) {
    simulation sim{1};
    sim.run([]() -> task<> {
        put_env("lib", "b", 20);
        std::vector<application> all;
        all.push_back(application{"lib"}.env("a", 1).env("b", 2));
        const pid p = co_await up_applications(applications{std::move(all)});
        EXPECT_EQ(fetch_env<int>("lib", "a"), 1);
        EXPECT_EQ(fetch_env<int>("lib", "b"), 20);
        co_await genever::test::stop(p);
    });
}
