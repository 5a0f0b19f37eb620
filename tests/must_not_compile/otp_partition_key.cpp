#include <genever/otp/partition_supervisor.hpp>

using namespace genever;

struct key {};

auto f() { return partition_name("counters", key{}); }
