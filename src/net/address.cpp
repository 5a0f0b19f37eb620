#include "native_address.hpp"

#include <arpa/inet.h>

namespace genever::net {

bool native_address::parse(const char* text, endpoint& e) {
    if (inet_pton(AF_INET, text, e.bytes_.data()) == 1) return true;
    e.v6_ = true;
    return inet_pton(AF_INET6, text, e.bytes_.data()) == 1;
}

std::expected<endpoint, std::string> endpoint::parse(std::string_view address, std::uint16_t port) {
    endpoint e;
    e.port_ = port;
    // A NUL would end the system's view of the text, but not ours.
    if (address.contains('\0') || !native_address::parse(std::string{address}.c_str(), e))
        return std::unexpected(std::string{"'"}.append(address) +
                               "' is not a numeric IPv4 or IPv6 address, such as 127.0.0.1 or ::1");
    return e;
}

std::string endpoint::address() const {
    char text[INET6_ADDRSTRLEN];
    inet_ntop(v6_ ? AF_INET6 : AF_INET, bytes_.data(), text, sizeof text);
    return text;
}

std::string to_string(const endpoint& e) {
    return (e.is_v6() ? '[' + e.address() + ']' : e.address()) + ':' + std::to_string(e.port());
}

} // namespace genever::net
