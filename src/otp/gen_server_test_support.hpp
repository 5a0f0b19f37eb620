// For the servers' tests: a server with every kind of call, and helpers.
#pragma once

#include "runtime/simulation_test_support.hpp"

#include <genever/base/log.hpp>
#include <genever/otp/gen_server.hpp>
#include <genever/runtime/receive.hpp>
#include <genever/runtime/time.hpp>

#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

namespace genever::test {

using namespace std::chrono_literals;

// Not in SSO: what is destroyed twice or never is found by the sanitizers.
inline const std::string long_text = "a text that is too long for the small string optimisation";

struct counter : gen_server<counter> {
    struct increment {
        std::string key;
    };
    struct get {
        std::string key;
        using reply = int;
    };
    struct get_slowly {
        std::string key;
        duration delay;
        using reply = int;
    };
    struct fail_call {
        using reply = int;
    };
    struct fail_call_later {
        using reply = int;
    };
    struct fail_cast {};
    struct hang {
        using reply = void;
    };
    struct finish {
        exit_kind why;
        using reply = std::string;
    };
    struct flush {
        using reply = void;
    };

    explicit counter(int start = 0) : start_(start) {}

    void handle(increment m) { ++counts_[std::move(m.key)]; }
    int handle(const get& m) { return start_ + counts_[m.key]; }
    task<int> handle(get_slowly m) {
        co_await sleep_for(m.delay);
        co_return start_ + counts_[m.key];
    }
    int handle(fail_call) { throw std::runtime_error("boom"); }
    task<int> handle(fail_call_later) {
        co_await sleep_for(1s);
        throw std::runtime_error("later");
    }
    void handle(fail_cast) { throw std::logic_error("cast"); }
    task<> handle(hang) { co_await sleep_for(24h); }
    std::string handle(finish m) {
        stop(m.why);
        return long_text;
    }
    void handle(flush) {}

private:
    int start_;
    std::unordered_map<std::string, int> counts_;
};

/// Starts a server, which must succeed.
template <class S, class... Args>
task<pid> up(std::string name, Args... args) {
    auto started = co_await start<S>(std::move(name), std::move(args)...);
    if (!started) throw std::runtime_error("did not start: " + to_string(started.error()));
    co_return *started;
}

inline task<exit_reason> end_of(pid p) {
    const monitor_ref ref = monitor(p);
    for (;;) {
        auto d = co_await receive([](down d) { return d; });
        if (d.ref == ref) co_return d.reason;
    }
}

/// Catches the log for a scope.
class caught_log {
public:
    caught_log() {
        log::set_level(log::level::info);
        log::set_sink([lines = lines_](log::level, std::string_view text) {
            std::lock_guard g{lines->lock};
            lines->text += text;
            lines->text += '\n';
        });
    }
    ~caught_log() {
        log::set_sink({});
        log::set_level(log::level::off);
    }
    std::string text() const {
        std::lock_guard g{lines_->lock};
        return lines_->text;
    }

private:
    struct lines {
        std::mutex lock;
        std::string text;
    };
    std::shared_ptr<lines> lines_ = std::make_shared<lines>();
};

} // namespace genever::test
