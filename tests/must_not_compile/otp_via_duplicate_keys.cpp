#include <genever/otp/registry.hpp>

#include <string>

using namespace genever;

via_name f(const registry<std::string, int, registry_keys::duplicate>& r) { return via(r, "key"); }
