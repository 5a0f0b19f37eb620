#include "service_manager.hpp"

#include "systemd_test_support.hpp"

#include <gtest/gtest.h>

#include <string>

using namespace genever;
using namespace genever::detail;
using namespace std::chrono_literals;

namespace {

constexpr time_point start{24h};

/// A manager that does not listen: no message finds room.
struct deaf : genever::test::manager {
    deaf() {
        const notify_socket others{at().c_str()};
        while (others.offer("X=1")) ++queued;
    }
    std::string at() const { return '@' + name; }
    void listen() const {
        for (int i = 0; i < queued; ++i) EXPECT_EQ(next(), "X=1");
    }
    int queued = 0;
};

} // namespace

TEST(ServiceManager, IsToldAllStatesInOrderAndTheLastStatusWhenItListensAgain) {
    const deaf to;
    service_manager m{to.at().c_str(), {}};
    EXPECT_EQ(m.look_again_in(start), infinity);
    m.tell("READY=1\nSTATUS=up");
    for (int i = 0; i < 200; ++i) m.tell("STATUS=" + std::to_string(i));
    m.tell("STOPPING=1");
    m.look(start);
    EXPECT_LT(m.look_again_in(start), 1s);
    to.listen();
    m.look(start + 1s);
    EXPECT_EQ(to.next(), "READY=1\nSTATUS=up");
    EXPECT_EQ(to.next(), "STATUS=199");
    EXPECT_EQ(to.next(), "STOPPING=1");
    EXPECT_EQ(to.next(), "");
    EXPECT_EQ(m.look_again_in(start), infinity);
}

TEST(ServiceManager, IsToldTheLastStatesWhereItNeverListens) {
    const deaf to;
    service_manager m{to.at().c_str(), {}};
    for (int i = 0; i < 1000; ++i) {
        m.tell("STATUS=" + std::to_string(i));
        m.tell("READY=1\nSTATUS=up " + std::to_string(i));
    }
    to.listen();
    std::string last;
    int told = 0;
    for (bool more = true; more;) { // it may have room for fewer than are waiting
        m.look(start);
        more = false;
        for (std::string s; !(s = to.next()).empty(); ++told) {
            last = s;
            more = true;
        }
    }
    EXPECT_EQ(last, "READY=1\nSTATUS=up 999");
    EXPECT_LT(told, 100);
}

TEST(ServiceManager, HasABeatInTimeThoughItDidNotListenWhenItWasDue) {
    const deaf to;
    service_manager m{to.at().c_str(), 10s};
    time_point now = start;
    m.look(now); // there is no room
    m.tell("STATUS=busy");
    now += m.look_again_in(now);
    EXPECT_LT(now, start + 1s);
    m.look(now);
    to.listen();
    now += m.look_again_in(now);
    EXPECT_LT(now, start + 1s);
    m.look(now);
    EXPECT_EQ(to.next(), "WATCHDOG=1");
    EXPECT_EQ(to.next(), "STATUS=busy");
    EXPECT_EQ(m.look_again_in(now), 5s);
    m.look(now + 4s);
    EXPECT_EQ(to.next(), "");
    m.look(now + 5s);
    EXPECT_EQ(to.next(), "WATCHDOG=1");
}

TEST(ServiceManager, IsNotThereWithoutItsVariable) {
    service_manager m{nullptr, 1s};
    m.tell("READY=1");
    m.look(start);
    EXPECT_EQ(m.look_again_in(start), infinity);
}
