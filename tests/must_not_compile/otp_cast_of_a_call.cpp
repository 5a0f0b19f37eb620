#include <genever/otp/supervisor.hpp>

using namespace genever;

struct limiter : gen_server<limiter> {
    struct get {
        using reply = int;
    };
    int handle(get) { return 1; }
};

bool f(const server_ref<limiter>& l) { return l.cast(limiter::get{}); }
