// For the supervisors' tests: children that do as a script says and record what they did.
#pragma once

#include "runtime/simulation_test_support.hpp"

#include <genever/base/log.hpp>
#include <genever/otp/gen_server.hpp>
#include <genever/otp/supervisor.hpp>
#include <genever/runtime/receive.hpp>

#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace genever::test {

using namespace std::chrono_literals;

// Thousands of restarts on purpose: their reports are for nobody.
inline const bool without_reports = (log::set_level(log::level::off), true);

/// What the children of a test do, and shall do.
struct script {
    std::vector<std::string> events; // "+a": a's init, "-a": its terminate or the end of a crash
    std::string refuses;             // whose init throws
    int refusals = 1 << 30;          // how often
    duration init_takes = 0s;
    duration terminate_takes = 0s;
};
using script_ptr = std::shared_ptr<script>;

struct probe : gen_server<probe> {
    struct end {
        exit_reason how;
    };
    struct count {
        using reply = int;
    };

    probe(script_ptr s, std::string name) : script_(std::move(s)), name_(std::move(name)) {}

    task<> init() {
        trap_exit(true);
        if (script_->init_takes > 0s) co_await sleep_for(script_->init_takes);
        if (script_->refuses == name_ && script_->refusals-- > 0)
            throw std::runtime_error(name_ + " refuses");
        script_->events.push_back("+" + name_);
    }
    task<> terminate(const exit_reason&) {
        if (script_->terminate_takes > 0s) co_await sleep_for(script_->terminate_takes);
        script_->events.push_back("-" + name_);
    }
    void handle(end m) {
        if (m.how == exit_kind::error) throw std::runtime_error("crash of " + name_);
        if (m.how == exit_kind::killed)
            exit(self(), exit_kind::killed);
        else
            stop(std::move(m.how));
    }
    int handle(count) { return ++count_; }

private:
    script_ptr script_;
    std::string name_;
    int count_ = 0;
};

inline child_spec a_probe(const script_ptr& s, const std::string& name, restart r = restart::permanent) {
    return child<probe>(name, s, name).restart(r);
}

/// Starts a supervisor, which must succeed; the test's process traps exits.
inline task<pid> up(supervisor s, std::string name = "top") {
    trap_exit(true);
    auto started = co_await start_link(std::move(s), std::move(name));
    if (!started) throw std::runtime_error("did not start: " + to_string(started.error()));
    co_return *started;
}

/// Ends it in order, unless it has ended, and says why it did.
inline task<exit_reason> ended(pid sup) {
    auto s = co_await receive([](exit_signal s) { return s; });
    EXPECT_EQ(s.from, sup);
    co_return s.reason;
}
inline task<exit_reason> stop(pid sup) {
    exit(sup, exit_kind::shutdown);
    auto why = co_await ended(sup);
    co_return why;
}

/// The pids of the children by their place; pid{}: not running.
inline task<std::vector<pid>> pids(pid sup) {
    std::vector<pid> all;
    const supervisor_ref ref{sup};
    auto children = co_await ref.which_children();
    for (const auto& c : children) all.push_back(c.pid);
    co_return all;
}

inline bool end_child(const std::string& name, exit_reason how) {
    return server_ref<probe>{name}.cast(probe::end{std::move(how)});
}

using names = std::vector<std::string>;

} // namespace genever::test
