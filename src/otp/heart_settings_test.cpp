#include "otp/heart_settings.hpp"

#include <gtest/gtest.h>

#include <map>

using namespace genever;
using namespace genever::detail;
using namespace std::chrono_literals;

namespace {

std::expected<heart_options, std::string> read(std::map<std::string, std::string> set, heart_options o = {}) {
    return with_environment(o, [&](const char* name) {
        auto i = set.find(name);
        return i == set.end() ? nullptr : i->second.c_str();
    });
}

} // namespace

TEST(HeartSettings, AreThoseOfTheProgramWhereTheEnvironmentSaysNothing) {
    heart_options o;
    o.hang_timeout = 3s;
    o.give_up_after = 5;
    const auto read_back = read({{"GENEVER_HEART", ""}}, o);
    ASSERT_TRUE(read_back);
    EXPECT_FALSE(read_back->enabled);
    EXPECT_EQ(read_back->hang_timeout, 3s);
    EXPECT_EQ(read_back->give_up_after, 5U);
}

TEST(HeartSettings, OfTheEnvironmentGoBeforeTheProgrammes) {
    heart_options o;
    o.enabled = true;
    EXPECT_FALSE(read({{"GENEVER_HEART", "0"}}, o)->enabled);
    EXPECT_TRUE(read({{"GENEVER_HEART", "1"}})->enabled);
    const auto all = read({{"GENEVER_HEART_HANG_MS", "0"},
                           {"GENEVER_HEART_START_MS", "1500"},
                           {"GENEVER_HEART_QUICK_MS", "0"},
                           {"GENEVER_HEART_BACKOFF_MS", "7"},
                           {"GENEVER_HEART_MOST_BACKOFF_MS", "9"},
                           {"GENEVER_HEART_GIVE_UP", "0"}});
    ASSERT_TRUE(all);
    EXPECT_EQ(all->hang_timeout, infinity);
    EXPECT_EQ(all->start_timeout, 1500ms);
    EXPECT_EQ(all->quick_failure, 0ms);
    EXPECT_EQ(all->backoff, 7ms);
    EXPECT_EQ(all->max_backoff, 9ms);
    EXPECT_EQ(all->give_up_after, 0U);
}

TEST(HeartSettings, ThatAreNonsenseAreNamed) {
    for (const char* name :
         {"GENEVER_HEART", "GENEVER_HEART_HANG_MS", "GENEVER_HEART_BACKOFF_MS", "GENEVER_HEART_GIVE_UP"}) {
        for (const char* text : {"yes", "-1", "1s", " 1", "99999999999999999999", "0x1"}) {
            const auto o = read({{name, text}});
            ASSERT_FALSE(o) << name << '=' << text;
            EXPECT_TRUE(o.error().starts_with(std::string{name} + '=' + text + ": must be ")) << o.error();
        }
    }
}

TEST(HeartSettings, ReachTheHeartAsTheyAre) {
    heart_orders o;
    o.heart = 1234;
    o.options.hang_timeout = infinity;
    o.options.backoff = 1ns;
    o.options.give_up_after = 0;
    o.program = "/srv/with a space/service 2";
    const auto got = heart_orders_from(to_text(o));
    ASSERT_TRUE(got);
    EXPECT_EQ(to_text(*got), to_text(o));
    EXPECT_EQ(got->program, o.program);
    EXPECT_EQ(got->options.hang_timeout, infinity);
}

TEST(HeartSettings, OfAnotherVersionOrCutShortAreNone) {
    heart_orders h;
    h.program = "/p";
    service_orders s;
    s.service = 77;
    s.socket = 5;
    const std::string ht = to_text(h);
    const std::string st = to_text(s);
    EXPECT_FALSE(heart_orders_from("2" + ht.substr(1)));
    EXPECT_FALSE(service_orders_from("2" + st.substr(1)));
    for (std::size_t n = 0; n + 1 < ht.size(); ++n) EXPECT_FALSE(heart_orders_from(ht.substr(0, n))) << n;
    EXPECT_FALSE(service_orders_from(st.substr(0, st.rfind(' '))));
    EXPECT_FALSE(service_orders_from(st + "x"));
    EXPECT_FALSE(service_orders_from(st + " 1"));
    const auto got = service_orders_from(st);
    ASSERT_TRUE(got);
    EXPECT_EQ(got->service, 77);
    EXPECT_EQ(got->socket, 5);
    EXPECT_FALSE(got->held);
    EXPECT_EQ(got->beat_every, infinity);
}
