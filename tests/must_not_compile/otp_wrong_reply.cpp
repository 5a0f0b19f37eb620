#include <genever/otp/supervisor.hpp>

using namespace genever;

struct limiter : gen_server<limiter> {
    struct get {
        using reply = int;
    };
    const char* handle(get) { return "one"; }
};

task<> f(const server_ref<limiter>& l) { co_await l.call<limiter::get>(); }
