#include <genever/otp/supervisor.hpp>

using namespace genever;

struct limiter : gen_server<limiter> {
    explicit limiter(int) {}
};

child_spec f() { return child<limiter>("limiter", nullptr); }
