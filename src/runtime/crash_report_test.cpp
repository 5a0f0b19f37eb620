#include "runtime/crash_reporter.hpp"

#include <genever/base/log.hpp>
#include <genever/runtime/crash_report.hpp>
#include <genever/runtime/receive.hpp>
#include <genever/runtime/runtime.hpp>
#include <genever/runtime/simulation.hpp>
#include <genever/runtime/time.hpp>

#include <gtest/gtest.h>

#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <stdexcept>
#include <string>
#include <vector>

using namespace genever;
using namespace std::chrono_literals;

namespace {

task<> works_and_fails() {
    co_await sleep_for(1500ms);
    throw std::runtime_error("no \"way\"");
}

task<> starts_a_worker() {
    const spawn_options options{.label = "worker"};
    spawn(options, works_and_fails);
    co_await sleep_for(10s);
}

crash_report report_of_a_crash() {
    std::vector<crash_report> all;
    simulation sim{1, [&](const crash_report& r) { all.push_back(r); }};
    sim.run([]() -> task<> {
        const spawn_options options{.label = "manager"};
        spawn(options, starts_a_worker);
        co_await sleep_for(1h);
    });
    EXPECT_EQ(all.size(), 1U);
    return all.empty() ? crash_report{} : all.front();
}

/// What is written to the log, until `end`; `lock` held: whoever writes waits.
class written_log {
public:
    written_log() {
        log::set_sink([this](log::level, std::string_view text) {
            const std::lock_guard g{lock};
            lines_.emplace_back(text);
        });
    }
    ~written_log() { log::set_sink({}); }
    written_log(const written_log&) = delete;
    written_log& operator=(const written_log&) = delete;

    const std::vector<std::string>& end() {
        log::set_sink({});
        return lines_;
    }

    std::mutex lock;

private:
    std::vector<std::string> lines_;
};

[[noreturn]] void fails_in(const std::string& where) { throw std::runtime_error(where); }

} // namespace

TEST(CrashReport, SaysWhoStartedItAndHowLongItLived) {
    const crash_report r = report_of_a_crash();
    EXPECT_EQ(r.label, "worker");
    EXPECT_EQ(r.uptime, 1500ms);
    ASSERT_GE(r.ancestors.size(), 1U);
    EXPECT_NE(r.ancestors[0].find("(manager)"), std::string::npos) << r.ancestors[0];
}

TEST(CrashReport, IsABlockForPeopleAndALineForPrograms) {
    const crash_report r = report_of_a_crash();
    const std::string text = to_string(r);
    for (const char* part : {"(worker) crashed", "std::runtime_error: no \"way\"", "up for: 1500 ms",
                             "(manager)", "works_and_fails"})
        EXPECT_NE(text.find(part), std::string::npos) << part << " in\n" << text;
    const std::string json = to_json_members(r);
    for (const char* part : {R"("event":"crash")", R"("label":"worker")", R"("type":"std::runtime_error")",
                             R"("text":"no \"way\"")", R"("uptime_ms":1500)", R"("stack":[{"function":")"})
        EXPECT_NE(json.find(part), std::string::npos) << part << " in\n" << json;
    EXPECT_EQ(json.find('\n'), std::string::npos);
}

TEST(CrashReport, IsWrittenByAThreadThatGivesWay) {
    std::atomic<int> nice{0};
    log::set_sink([&](log::level, std::string_view) { nice = getpriority(PRIO_PROCESS, 0); });
    {
        runtime rt{{.workers = 1}};
        rt.run([]() -> task<> {
            spawn_monitor([]() -> task<> {
                fails_in("here");
                co_return;
            });
            co_await receive([](const down&) {});
        });
    }
    log::set_sink({});
    EXPECT_EQ(nice, std::min(19, getpriority(PRIO_PROCESS, 0) + 10));
}

// What is written, counted: reports of the crashes here and the crashes that were only counted.
TEST(CrashReport, AStormIsOneReportOfEachKindAndCounts) {
    written_log written_meanwhile;
    constexpr int storm = 5'000;
    {
        runtime rt{{.workers = 2}};
        rt.run([]() -> task<> {
            const std::size_t before = processes().size();
            for (int i = 0; i < storm; ++i) {
                spawn([]() -> task<> {
                    co_await yield();
                    fails_in("here");
                });
                if (i % 100 == 0) co_await yield();
            }
            spawn_monitor([]() -> task<> {
                throw std::logic_error("there");
                co_return;
            });
            co_await receive([](const down&) {});
            while (processes().size() != before)
                co_await yield(); // or they would be killed before they have crashed
        });
    }
    const std::vector<std::string>& written = written_meanwhile.end();
    std::uint64_t whole = 0;
    std::uint64_t counted = 0;
    std::uint64_t others = 0;
    for (const std::string& text : written) {
        std::uint64_t n = 0;
        if (text.find("std::logic_error: there") != std::string::npos) {
            ++others;
        } else if (text.find(" more crashes like: error std::runtime_error: here") != std::string::npos) {
            counted += std::stoull(text);
        } else if (text.find("std::runtime_error: here") != std::string::npos) {
            ++whole;
            if (const auto at = text.find("\n  and "); at != std::string::npos)
                n = std::stoull(text.substr(at + 7));
            counted += n;
        }
    }
    EXPECT_EQ(others, 1U);
    EXPECT_EQ(whole + counted, static_cast<std::uint64_t>(storm)) << "nothing is lost";
    EXPECT_GE(whole, 1U);
    EXPECT_LE(whole, 30U) << "one a second";
}

// What is left out while reports come faster than they can be written is told meanwhile, and not when that is over.
TEST(CrashReport, WhatIsLeftOutIsToldMeanwhile) {
    written_log written_meanwhile;
    constexpr std::size_t reports = 2'000;
    {
        detail::crash_reporter reporter;
        const std::lock_guard g{written_meanwhile.lock}; // whoever writes waits
        for (std::size_t i = 0; i < reports; ++i) reporter.take(stall_report{});
    }
    const std::vector<std::string>& written = written_meanwhile.end();
    std::uint64_t whole = 0, left_out = 0;
    std::size_t told_at = written.size();
    for (std::size_t i = 0; i < written.size(); ++i) {
        if (written[i].find("were left out") == std::string::npos) {
            ++whole;
        } else {
            left_out += std::stoull(written[i]);
            told_at = std::min(told_at, i);
        }
    }
    EXPECT_EQ(whole + left_out, reports);
    EXPECT_LT(told_at, 3U) << "of " << written.size();
}
