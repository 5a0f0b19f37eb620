#include <genever/otp/task_supervisor.hpp>

#include <string>

using namespace genever;

task<> f(task_supervisor_ref tasks) {
    auto t = co_await tasks.async([](std::string&) { return 1; }, std::string{});
    co_await t.await();
}
