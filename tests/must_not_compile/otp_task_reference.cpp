#include <genever/otp/task_supervisor.hpp>

using namespace genever;

int& global();

task<> f(task_supervisor_ref tasks) {
    auto t = co_await tasks.async([]() -> int& { return global(); });
    co_await t.await();
}
