// Internet addresses and ports, as text and as the system wants them.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <span>
#include <string>
#include <string_view>

namespace genever::net {

/// An IPv4 or IPv6 address with a port. A plain value of fixed size.
class endpoint {
public:
    /// 0.0.0.0, port 0.
    endpoint() noexcept = default;

    /// From a numeric address (`127.0.0.1`, `::1`; no names are looked up) and a port; the error says what is wrong.
    static std::expected<endpoint, std::string> parse(std::string_view address, std::uint16_t port);

    std::uint16_t port() const noexcept { return port_; }
    bool is_v6() const noexcept { return v6_; }
    /// The address without the port. An IPv4 client of an IPv6 socket (`::ffff:1.2.3.4`) appears as `1.2.3.4`.
    std::string address() const;

    /// The address in network order: 4 bytes, or 16. Valid as long as this.
    std::span<const std::uint8_t> bytes() const noexcept {
        return {bytes_.data(), v6_ ? bytes_.size() : std::size_t{4}};
    }

    friend bool operator==(const endpoint&, const endpoint&) noexcept = default;

private:
    friend struct native_address;
    std::array<std::uint8_t, 16> bytes_{}; // the first four of them for IPv4
    std::uint16_t port_ = 0;
    bool v6_ = false;
};

/// `127.0.0.1:80`, `[::1]:80`.
std::string to_string(const endpoint& e);

} // namespace genever::net
