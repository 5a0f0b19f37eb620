#include <genever/otp/agent.hpp>

#include <string>

using namespace genever;

task<> f(agent_ref<int> a) {
    co_await a.update([](int n) { return std::to_string(n); });
}
