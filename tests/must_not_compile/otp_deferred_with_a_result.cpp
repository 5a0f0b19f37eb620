#include <genever/otp/supervisor.hpp>

using namespace genever;

struct limiter : gen_server<limiter> {
    struct get {
        using reply = int;
    };
    int handle(get, from<int>) { return 1; }
};

task<> f(const server_ref<limiter>& l) { co_await l.call<limiter::get>(); }
