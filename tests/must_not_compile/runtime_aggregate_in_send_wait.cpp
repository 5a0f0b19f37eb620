#include <genever/runtime/mailbox.hpp>

#include <string>

using namespace genever;

struct text {
    std::string s;
};

task<> f(pid to) { co_await send_wait(to, text{"a"}); }
