#include <genever/otp/gen_server.hpp>

struct idler : genever::gen_server<idler> {
    void init() { timeout_when_idle(std::chrono::seconds{1}); }
};
