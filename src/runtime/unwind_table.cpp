// The layout: Itanium C++ ABI, Exception Handling, 2.5 and HP's table 7 (call-site table, action table, type table); the
// encodings of pointers: Linux Standard Base Core, 10.5.1 (DW_EH_PE_*).
#include "unwind_table.hpp"

#include <algorithm>
#include <cstddef>
#include <cstring>

namespace genever::detail {

namespace {

enum : unsigned char {
    as_is = 0x00,
    uleb128 = 0x01,
    udata2 = 0x02,
    udata4 = 0x03,
    udata8 = 0x04,
    sleb128 = 0x09,
    sdata2 = 0x0a,
    sdata4 = 0x0b,
    sdata8 = 0x0c,
    relative_to_itself = 0x10,
    indirect = 0x80,
    omitted = 0xff,
};

class reader {
public:
    explicit reader(const unsigned char* at) noexcept : at_(at) {}

    const unsigned char* at() const noexcept { return at_; }
    bool failed() const noexcept { return failed_; }

    template <class T>
    T plain() noexcept {
        T value;
        std::memcpy(&value, at_, sizeof value);
        at_ += sizeof value;
        return value;
    }
    std::uint64_t unsigned_leb() noexcept {
        unsigned shift = 0;
        return leb(shift);
    }
    std::int64_t signed_leb() noexcept {
        unsigned shift = 0;
        std::uint64_t value = leb(shift);
        const bool negative = (at_[-1] & 0x40) != 0;
        if (negative && shift < 64) value |= ~std::uint64_t{0} << shift;
        return static_cast<std::int64_t>(value);
    }
    std::uintptr_t encoded(unsigned char how) noexcept {
        const auto self = reinterpret_cast<std::uintptr_t>(at_);
        std::uintptr_t value = 0;
        switch (how & 0x0f) {
        case as_is:
        case udata8:
        case sdata8: value = plain<std::uint64_t>(); break;
        case uleb128: value = unsigned_leb(); break;
        case sleb128: value = static_cast<std::uintptr_t>(signed_leb()); break;
        case udata2: value = plain<std::uint16_t>(); break;
        case sdata2: value = static_cast<std::uintptr_t>(plain<std::int16_t>()); break;
        case udata4: value = plain<std::uint32_t>(); break;
        case sdata4: value = static_cast<std::uintptr_t>(plain<std::int32_t>()); break;
        default: failed_ = true; return 0;
        }
        if (value == 0) return 0; // null stays null, whatever it would be relative to
        switch (how & 0x70) {
        case 0: break;
        case relative_to_itself: value += self; break;
        default: failed_ = true; return 0;
        }
        if ((how & indirect) != 0) value = *reinterpret_cast<const std::uintptr_t*>(value);
        return value;
    }

private:
    std::uint64_t leb(unsigned& shift) noexcept {
        std::uint64_t value = 0;
        for (;;) {
            const unsigned char byte = *at_++;
            if (shift < 64) value |= std::uint64_t{byte & 0x7fU} << shift;
            shift += 7;
            if ((byte & 0x80) == 0) return value;
        }
    }

    const unsigned char* at_;
    bool failed_ = false;
};

std::size_t size_of(unsigned char encoding) noexcept {
    switch (encoding & 0x0f) {
    case as_is:
    case udata8:
    case sdata8: return 8;
    case udata4:
    case sdata4: return 4;
    case udata2:
    case sdata2: return 2;
    default: return 0; // no fixed size: no table of types
    }
}

struct type_table {
    const unsigned char* end = nullptr; // entries are counted backwards from here, from 1
    unsigned char encoding = omitted;
};

passage follow_actions(const unsigned char* action, const type_table& table,
                       std::span<const std::type_info* const> types) noexcept {
    for (;;) {
        reader r{action};
        const std::int64_t filter = r.signed_leb();
        const unsigned char* const link = r.at();
        const std::int64_t next = r.signed_leb();
        if (filter < 0) return passage::barred; // an exception specification of old
        if (filter > 0) {
            const std::size_t size = size_of(table.encoding);
            if (!table.end || size == 0) return passage::barred;
            reader entry{table.end - static_cast<std::size_t>(filter) * size};
            const std::uintptr_t type = entry.encoded(table.encoding);
            if (entry.failed()) return passage::barred;
            if (type == 0) return passage::caught; // catch (...)
            const auto& caught = *reinterpret_cast<const std::type_info*>(type);
            if (std::ranges::any_of(types, [&](const std::type_info* t) { return *t == caught; }))
                return passage::caught;
        }
        if (next == 0) return passage::through;
        action = link + next;
    }
}

} // namespace

passage passage_at(const unsigned char* lsda, std::uintptr_t function_start, std::uintptr_t pc,
                   std::span<const std::type_info* const> types) noexcept {
    if (!lsda) return passage::through;
    reader r{lsda};
    if (const auto pads = r.plain<unsigned char>(); pads != omitted) (void)r.encoded(pads);
    type_table table;
    table.encoding = r.plain<unsigned char>();
    if (table.encoding != omitted) {
        const std::uint64_t distance = r.unsigned_leb();
        table.end = r.at() + distance;
    }
    const auto encoding = r.plain<unsigned char>();
    const std::uint64_t length = r.unsigned_leb();
    const unsigned char* const actions = r.at() + length;
    while (r.at() < actions && !r.failed()) {
        const std::uintptr_t start = function_start + r.encoded(encoding);
        const std::uintptr_t size = r.encoded(encoding);
        const std::uintptr_t pad = r.encoded(encoding);
        const std::uint64_t action = r.unsigned_leb();
        if (pc < start) break; // they are in order
        if (pc - start >= size) continue;
        if (pad == 0 || action == 0) return passage::through;
        return follow_actions(actions + action - 1, table, types);
    }
    return passage::barred;
}

} // namespace genever::detail
