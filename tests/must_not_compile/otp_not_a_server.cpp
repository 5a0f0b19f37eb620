#include <genever/otp/supervisor.hpp>

using namespace genever;

struct limiter {};

child_spec f() { return child<limiter>("limiter"); }
