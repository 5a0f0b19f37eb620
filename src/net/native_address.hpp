// Between `endpoint` and the system's socket addresses.
#pragma once

#include <genever/net/address.hpp>

#include <cstring>
#include <netinet/in.h>
#include <sys/socket.h>

namespace genever::net {

struct native_address {
    sockaddr_storage storage{};
    socklen_t size = sizeof(sockaddr_storage);

    native_address() = default;
    explicit native_address(const endpoint& e) {
        if (e.v6_) {
            auto& a = reinterpret_cast<sockaddr_in6&>(storage);
            a.sin6_family = AF_INET6;
            a.sin6_port = htons(e.port_);
            std::memcpy(&a.sin6_addr, e.bytes_.data(), 16);
            size = sizeof a;
        } else {
            auto& a = reinterpret_cast<sockaddr_in&>(storage);
            a.sin_family = AF_INET;
            a.sin_port = htons(e.port_);
            std::memcpy(&a.sin_addr, e.bytes_.data(), 4);
            size = sizeof a;
        }
    }

    sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }

    endpoint to_endpoint() const {
        endpoint e;
        if (storage.ss_family == AF_INET6) {
            const auto& a = reinterpret_cast<const sockaddr_in6&>(storage);
            e.port_ = ntohs(a.sin6_port);
            if (IN6_IS_ADDR_V4MAPPED(&a.sin6_addr)) {
                std::memcpy(e.bytes_.data(), a.sin6_addr.s6_addr + 12, 4);
            } else {
                e.v6_ = true;
                std::memcpy(e.bytes_.data(), &a.sin6_addr, 16);
            }
        } else {
            const auto& a = reinterpret_cast<const sockaddr_in&>(storage);
            e.port_ = ntohs(a.sin_port);
            std::memcpy(e.bytes_.data(), &a.sin_addr, 4);
        }
        return e;
    }

    static bool parse(const char* text, endpoint& e);
};

} // namespace genever::net
