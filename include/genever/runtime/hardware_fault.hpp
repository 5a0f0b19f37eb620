// A fault of the processor in user code, as an exception.
#pragma once

#include <genever/runtime/detail/fault_contract.hpp>

#include <cstdint>
#include <stdexcept>
#include <string_view>

namespace genever {

/// What the processor could not do.
enum class fault_kind : std::uint8_t {
    bad_read, ///< SIGSEGV: memory that is not there, or not the program's to read; also where it is not known
    bad_write,      ///< SIGSEGV: memory that is not there, or not the program's to write
    bad_call,       ///< SIGSEGV: a jump to where there is no code, through a null pointer as a rule
    bus_error,      ///< SIGBUS: beyond the end of a mapped file, as a rule
    division,       ///< SIGFPE: an integer division by zero, or the one quotient that no integer holds
    floating_point, ///< SIGFPE: a floating-point trap that the program has enabled
};

/// `bad read`, `division`...
std::string_view to_string(fault_kind k) noexcept;

/// Thrown at the faulting instruction, inside a process, when user code faults: destructors run, and the process exits
/// with an `error` whose stack trace begins at the faulting line. What cannot be thrown through (a function that is
/// `noexcept`, a library that is not the program's own, the runtime itself), a fault outside of any process, and a
/// runaway recursion end the program as they would without Genever: docs/fault-tolerance.md says exactly what.
///
/// Needs GCC's `-fnon-call-exceptions` in all code that may fault, which Genever's CMake targets pass on (option
/// GENEVER_HARDWARE_FAULTS), on x86-64, without AddressSanitizer and ThreadSanitizer. It may be caught like any other
/// exception; where it was thrown, an object may have been left half changed.
class hardware_fault : public std::runtime_error {
public:
    hardware_fault(fault_kind kind, std::uintptr_t address);

    fault_kind kind() const noexcept { return kind_; }
    /// The address that was read, written or jumped to; of a division, its instruction's. `unknown_address` where the
    /// processor does not tell: of a pointer that is no address at all, or not aligned for a vector instruction.
    std::uintptr_t address() const noexcept { return address_; }

    /// For `address`: the processor does not tell.
    static constexpr std::uintptr_t unknown_address = ~std::uintptr_t{0};

private:
    fault_kind kind_;
    std::uintptr_t address_;
};

/// Whether faults in this program's processes become exceptions: how the library was built decides.
bool hardware_faults_are_exceptions() noexcept;

} // namespace genever
