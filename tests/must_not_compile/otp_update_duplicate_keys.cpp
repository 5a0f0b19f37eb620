#include <genever/otp/registry.hpp>

#include <string>

using namespace genever;

bool f(const registry<std::string, int, registry_keys::duplicate>& r) {
    return r.update_value("key", [](int n) { return n + 1; }).has_value();
}
