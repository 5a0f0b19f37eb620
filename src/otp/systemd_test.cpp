#include "systemd_test_support.hpp"

#include <gtest/gtest.h>

#include <future>
#include <map>
#include <string>
#include <thread>
#include <utility>

using namespace genever;
using namespace genever::detail;
using genever::test::manager;
using namespace std::chrono_literals;

namespace {

environment variables(std::map<std::string, std::string> set) {
    return [set = std::move(set)](const char* name) {
        auto i = set.find(name);
        return i == set.end() ? nullptr : i->second.c_str();
    };
}

} // namespace

TEST(NotifySocket, SendsWhatItIsToldToAnAbstractName) {
    const manager m;
    const notify_socket s{("@" + m.name).c_str()};
    EXPECT_TRUE(s);
    s.tell("READY=1\nSTATUS=up");
    EXPECT_EQ(m.next(), "READY=1\nSTATUS=up");
}

TEST(NotifySocket, SaysNothingWhereThereIsNoneOrNobodyListens) {
    const std::string endless(200, 'x');
    for (const char* path : {static_cast<const char*>(nullptr), "", "@", "/", "relative", endless.c_str()}) {
        const notify_socket s{path};
        EXPECT_FALSE(s);
        s.tell("READY=1");
    }
    const notify_socket nobody{"@genever-nobody-listens-here"};
    nobody.tell("READY=1");
}

TEST(NotifySocket, WhatHappensOnceIsNotLostWhereTheManagerIsSlow) {
    const manager m;
    const notify_socket s{("@" + m.name).c_str(), 5min}; // longer than any machine is busy elsewhere
    int queued = 0;
    while (s.offer("STATUS=" + std::to_string(queued))) ++queued; // until there is no room
    EXPECT_GT(queued, 0);
    s.tell("WATCHDOG=1"); // does not wait, and is lost
    std::promise<void> told;
    std::thread service{[&] {
        s.tell("READY=1");
        told.set_value();
    }};
    EXPECT_EQ(told.get_future().wait_for(50ms), std::future_status::timeout);
    std::string last;
    for (int i = 0; i < queued; ++i) last = m.next();
    EXPECT_EQ(last, "STATUS=" + std::to_string(queued - 1));
    service.join();
    EXPECT_EQ(m.next(), "READY=1");
    EXPECT_EQ(m.next(), "");
    EXPECT_TRUE(s.offer("STATUS=up"));
    EXPECT_EQ(m.next(), "STATUS=up");
}

TEST(Watchdog, IsWantedByTheManagerOfThisProcessOnly) {
    EXPECT_EQ(watchdog_limit(variables({{"WATCHDOG_USEC", "3000000"}}), 7), 3s);
    EXPECT_EQ(watchdog_limit(variables({{"WATCHDOG_USEC", "3000000"}, {"WATCHDOG_PID", "7"}}), 7), 3s);
    EXPECT_FALSE(watchdog_limit(variables({{"WATCHDOG_USEC", "3000000"}, {"WATCHDOG_PID", "8"}}), 7));
    EXPECT_FALSE(watchdog_limit(variables({}), 7));
    for (const char* text : {"", "0", "-1", "3s", "18446744073709551615"})
        EXPECT_FALSE(watchdog_limit(variables({{"WATCHDOG_USEC", text}}), 7)) << text;
}

TEST(SocketActivation, CountsWhatIsPassedToThisProcessOnly) {
    EXPECT_EQ(passed_sockets(variables({{"LISTEN_FDS", "2"}, {"LISTEN_PID", "7"}}), 7), 2);
    EXPECT_EQ(passed_sockets(variables({{"LISTEN_FDS", "2"}, {"LISTEN_PID", "8"}}), 7), 0);
    EXPECT_EQ(passed_sockets(variables({{"LISTEN_FDS", "2"}}), 7), 0);
    for (const char* text : {"", "-1", "0", "x", "2 ", "99999999999"})
        EXPECT_EQ(passed_sockets(variables({{"LISTEN_FDS", text}, {"LISTEN_PID", "7"}}), 7), 0) << text;
}

TEST(Reload, IsAnnouncedWithTheTime) {
    EXPECT_EQ(reloading_at(time_point{1'500ms}), "RELOADING=1\nMONOTONIC_USEC=1500000");
}
