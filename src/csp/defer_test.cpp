#include <genever/base/defer.hpp>
#include <genever/csp/go.hpp>
#include <genever/runtime/time.hpp>

#include "csp/test_support.hpp"

#include <gtest/gtest.h>

#include <stdexcept>
#include <string>

using namespace genever;
using namespace std::chrono_literals;
using genever::test::kill_and_wait;
using genever::test::simulated;

TEST(Defer, RunsTheLastOneFirstWhenTheScopeIsLeft) {
    std::string order;
    {
        defer first{[&] { order += '1'; }};
        defer second{[&] { order += '2'; }};
        order += '0';
    }
    EXPECT_EQ(order, "021");
}

TEST(Defer, RunsOnAnException) {
    bool ran = false;
    try {
        defer d{[&] { ran = true; }};
        throw std::runtime_error("x");
    } catch (const std::runtime_error&) {
        EXPECT_TRUE(ran);
    }
}

TEST(Defer, RunsOnAKillAtASuspensionPointInnermostFirst) {
    simulated([]() -> task<> {
        std::string order;
        auto inner = [](std::string& o) -> task<> {
            defer d{[&] { o += 'i'; }};
            co_await sleep_for(24h);
        };
        const pid p = go([&order, inner]() -> task<> {
            defer d{[&] { order += 'o'; }};
            co_await inner(order);
        });
        co_await sleep_for(1s);
        co_await kill_and_wait(p);
        EXPECT_EQ(order, "io");
    });
}
