// Text that a signal handler may make: no memory, no locale, no lock.
#pragma once

#include <genever/runtime/hardware_fault.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace genever::detail {

/// Async-signal-safe. What does not fit is cut off.
class fault_text {
public:
    fault_text& add(std::string_view s) noexcept {
        for (const char c : s)
            if (size_ < text_.size() - 1) text_[size_++] = c;
        return *this;
    }
    fault_text& add_hex(std::uintptr_t n) noexcept {
        add("0x");
        return add_number(n, 16);
    }
    fault_text& add_decimal(std::uintptr_t n) noexcept { return add_number(n, 10); }

    /// `segmentation fault: read of address 0x0`
    fault_text& describe(fault_kind kind, std::uintptr_t address) noexcept {
        switch (kind) {
        case fault_kind::bad_read:
            if (address == hardware_fault::unknown_address)
                return add("segmentation fault: an address that is none, or is not aligned");
            add("segmentation fault: read of ");
            break;
        case fault_kind::bad_write: add("segmentation fault: write to "); break;
        case fault_kind::bad_call: add("segmentation fault: call of "); break;
        case fault_kind::bus_error: add("bus error: access to "); break;
        case fault_kind::division: return add("integer division by zero or overflow");
        case fault_kind::floating_point: return add("floating-point exception");
        }
        return add("address ").add_hex(address);
    }

    const char* c_str() noexcept {
        text_[size_] = 0;
        return text_.data();
    }
    std::string_view view() const noexcept { return {text_.data(), size_}; }

private:
    fault_text& add_number(std::uintptr_t n, unsigned base) noexcept {
        std::array<char, 20> digits;
        std::size_t first = digits.size();
        do {
            digits[--first] = "0123456789abcdef"[n % base];
            n /= base;
        } while (n != 0);
        return add({digits.data() + first, digits.size() - first});
    }

    std::array<char, 2048> text_;
    std::size_t size_ = 0;
};

} // namespace genever::detail
