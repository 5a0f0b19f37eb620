#include <genever/otp/application_env.hpp>

#include <vector>

using namespace genever;

auto f() { return get_env<std::vector<int>>("shop", "sizes"); }
