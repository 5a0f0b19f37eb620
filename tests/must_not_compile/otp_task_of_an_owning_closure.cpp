#include <genever/otp/task_supervisor.hpp>

#include <string>

using namespace genever;

task<> f(task_supervisor_ref tasks, std::string path) {
    auto t = co_await tasks.async([path] { return path.size(); });
    co_await t.await();
}
