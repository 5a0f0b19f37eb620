#include <genever/otp/gen_statem.hpp>

struct lamp : genever::gen_statem<lamp> {
    struct on {};
    struct off {};
    struct broken {};
    using states = genever::state_list<on, off>;
    struct flip {};

    off init() { return {}; }
    transition handle(flip) { return next_state(broken{}); }
};
