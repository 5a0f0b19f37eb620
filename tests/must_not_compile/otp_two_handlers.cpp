#include <genever/otp/supervisor.hpp>

using namespace genever;

struct limiter : gen_server<limiter> {
    struct get {
        using reply = int;
    };
    int handle(get) { return 1; }
    void handle(get, from<int>) {}
};

task<> f(const server_ref<limiter>& l) { co_await l.call<limiter::get>(); }
