// A kill or a deadline that hit a `when_all` used to destroy the frames of whoever waited while a task ran on, on another
// thread, up to its next suspension: its references led into memory that was gone.
#include <genever/csp/error_group.hpp>
#include <genever/csp/go.hpp>
#include <genever/csp/when_all.hpp>
#include <genever/csp/when_any.hpp>
#include <genever/runtime/time.hpp>
#include <genever/runtime/timeout.hpp>

#include "csp/test_support.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <memory>

using namespace genever;
using namespace std::chrono_literals;

namespace {

struct record {
    std::atomic<int> users{0};
    std::atomic<bool> outlived{false};
};

/// A local of whoever waits: notes whether somebody still uses it when it goes.
struct lent {
    std::shared_ptr<record> notes;
    ~lent() {
        if (notes->users.load() != 0) notes->outlived.store(true);
    }
};

/// Uses it until its frame is gone: computes, and awaits now and then.
task<> use(lent& l) {
    struct user {
        std::shared_ptr<record> notes;
        ~user() { --notes->users; }
    };
    ++l.notes->users;
    const user u{l.notes};
    for (;;) {
        const auto until = std::chrono::steady_clock::now() + 50us;
        while (std::chrono::steady_clock::now() < until) {
        }
        co_await yield();
    }
}

enum class form { all, any, group };

task<> wait_for_users(std::shared_ptr<record> notes, form how) {
    lent l{std::move(notes)};
    switch (how) {
    case form::all: co_await when_all(use(l), use(l), use(l)); break;
    case form::any: {
        [[maybe_unused]] auto first = co_await when_any(use(l), use(l));
        break;
    }
    case form::group: {
        error_group g;
        g.go([&l] { return use(l); });
        g.go([&l] { return use(l); });
        co_await g.wait();
    }
    }
}

task<> end_it(form how, bool by_kill) {
    auto notes = std::make_shared<record>();
    if (by_kill) {
        const pid p = go(wait_for_users, notes, how);
        while (notes->users.load() < 2) co_await yield();
        co_await test::kill_and_wait(p);
    } else {
        const auto r = co_await with_timeout(1ms, wait_for_users(notes, how));
        EXPECT_FALSE(r.has_value());
    }
    EXPECT_EQ(notes->users.load(), 0); // all frames are gone by now
    EXPECT_FALSE(notes->outlived.load());
}

} // namespace

TEST(Regress, TasksEndBeforeTheFramesTheyReferToWhenTheirProcessIsKilled) {
    test::everywhere(
        []() -> task<> {
            for (form how : {form::all, form::any, form::group}) co_await end_it(how, true);
        },
        50);
}

TEST(Regress, TasksEndBeforeTheFramesTheyReferToWhenADeadlinePasses) {
    test::threaded([]() -> task<> {
        for (form how : {form::all, form::any, form::group})
            for (int i = 0; i < 20; ++i) co_await end_it(how, false);
    });
}

// The children of children, and a second kill while the first one waits.
TEST(Regress, AKillWaitsForTheTasksOfTasks) {
    test::everywhere(
        []() -> task<> {
            auto one = std::make_shared<record>();
            auto two = std::make_shared<record>();
            const pid p = go(
                [](std::shared_ptr<record> a, std::shared_ptr<record> b) -> task<> {
                    co_await when_all(wait_for_users(a, form::all), wait_for_users(b, form::group));
                },
                one, two);
            while (one->users.load() < 3 || two->users.load() < 2) co_await yield();
            const monitor_ref ref = monitor(p);
            exit(p, exit_kind::shutdown);
            exit(p, exit_kind::killed);
            const down d = co_await receive([](const down& m) { return m; });
            EXPECT_EQ(d.ref, ref);
            EXPECT_EQ(d.reason.kind(), exit_kind::shutdown); // the first one counts
            EXPECT_EQ(one->users.load() + two->users.load(), 0);
            EXPECT_FALSE(one->outlived.load() || two->outlived.load());
        },
        50);
}
