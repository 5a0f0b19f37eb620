// For the tests of tasks: a supervisor for them, and some work.
#pragma once

#include "gen_server_test_support.hpp"
#include "supervisor_test_support.hpp"

#include <genever/otp/task_supervisor.hpp>
#include <genever/runtime/runtime.hpp>

#include <stdexcept>
#include <string>

namespace genever::test {

inline const task_supervisor_ref tasks{"tasks"};

inline task<pid> up_tasks(task_supervisor s = {}) {
    auto started = co_await start_link(s, "tasks");
    if (!started) throw std::runtime_error("did not start: " + to_string(started.error()));
    co_return *started;
}

// For a test whose own process may crash by a link: the supervisor is somebody else's.
inline void with_tasks(simulation& sim, task_supervisor s = {}) {
    sim.spawn([s]() -> task<> {
        trap_exit(true);
        co_await up_tasks(s);
        co_await receive([](int) {});
    });
    sim.run([]() -> task<> {
        for (;;) {
            if (whereis("tasks")) break;
            co_await yield();
        }
    });
}

inline task<int> slow_double(int n, duration d = 1s) {
    co_await sleep_for(d);
    co_return 2 * n;
}
inline task<int> fail_after(duration d, std::string text) {
    co_await sleep_for(d);
    throw std::runtime_error(text);
}
inline task<std::size_t> running_tasks() {
    auto all = co_await tasks.children();
    co_return all.size();
}

} // namespace genever::test
