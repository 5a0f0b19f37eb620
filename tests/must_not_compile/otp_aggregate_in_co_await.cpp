#include <genever/otp/supervisor.hpp>

using namespace genever;

struct limiter : gen_server<limiter> {
    struct get {
        std::string ip;
        using reply = int;
    };
    int handle(const get&) { return 1; }
};

task<> f(const server_ref<limiter>& l) { co_await l.call(limiter::get{"127.0.0.1"}); }
