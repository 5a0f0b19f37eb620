#include <genever/otp/supervisor.hpp>

using namespace genever;

struct limiter : gen_server<limiter> {
    struct increment {};
    void handle(increment) {}
};

task<> f(const server_ref<limiter>& l) { co_await l.call<limiter::increment>(); }
