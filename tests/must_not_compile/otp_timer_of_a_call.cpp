#include <genever/otp/supervisor.hpp>

using namespace genever;

struct limiter : gen_server<limiter> {
    struct get {
        using reply = int;
    };
    int handle(get) { return 1; }
    void init() { send_interval(std::chrono::seconds{1}, get{}); }
};

child_spec f() { return child<limiter>("limiter"); }
