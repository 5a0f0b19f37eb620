#include <genever/otp/registry.hpp>

using namespace genever;

struct key {
    int a;
    bool operator==(const key&) const = default;
};

registry<key> r{"keys"};
