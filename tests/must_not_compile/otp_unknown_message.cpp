#include <genever/otp/supervisor.hpp>

using namespace genever;

struct limiter : gen_server<limiter> {
    struct known {};
    struct never_heard_of {};
    void handle(known) {}
};

bool f(const server_ref<limiter>& l) { return l.cast(limiter::never_heard_of{}); }
