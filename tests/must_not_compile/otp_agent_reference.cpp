#include <genever/otp/agent.hpp>

#include <string>

using namespace genever;

task<> f(agent_ref<std::string> a) {
    co_await a.get([](const std::string& s) -> const std::string& { return s; });
}
