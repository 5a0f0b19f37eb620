#include <genever/csp/select.hpp>

#include <memory>
#include <string>

using namespace genever;

struct throws {
    throws(throws&&) noexcept(false) {}
};

chan<throws> c;
