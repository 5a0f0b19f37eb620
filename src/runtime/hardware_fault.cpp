#include <genever/runtime/hardware_fault.hpp>

#include "fault_text.hpp"

namespace genever {

std::string_view to_string(fault_kind k) noexcept {
    switch (k) {
    case fault_kind::bad_read: return "bad read";
    case fault_kind::bad_write: return "bad write";
    case fault_kind::bad_call: return "bad call";
    case fault_kind::bus_error: return "bus error";
    case fault_kind::division: return "division";
    case fault_kind::floating_point: return "floating point";
    }
    return "unknown";
}

hardware_fault::hardware_fault(fault_kind kind, std::uintptr_t address)
    : std::runtime_error(detail::fault_text{}.describe(kind, address).c_str()), kind_(kind),
      address_(address) {}

} // namespace genever
