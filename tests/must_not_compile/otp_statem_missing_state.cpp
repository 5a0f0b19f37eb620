#include <genever/otp/gen_statem.hpp>

struct lamp : genever::gen_statem<lamp> {
    struct on {};
    struct off {};
    using states = genever::state_list<on, off>;
    struct flip {};

    off init() { return {}; }
    transition handle(off&, flip) { return next_state(on{}); } // and in on?
};

void f(const genever::server_ref<lamp>& l) { l.cast(lamp::flip{}); }
