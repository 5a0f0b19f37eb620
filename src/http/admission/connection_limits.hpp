// How many connections there are, in all and of each client.
#pragma once

#include "http/admission/client_shares.hpp"

#include <genever/http/admission.hpp>

#include <cstddef>
#include <cstdint>
#include <unordered_map>

namespace genever::http {

/// Counts exactly; its memory is bounded by the number of connections. Under the server's lock.
class connection_limits {
public:
    /// Of the most, so many (an eighth of them at most) are the reserve.
    connection_limits(std::size_t most, std::size_t most_of_a_client, std::size_t reserved) noexcept;
    /// With what the options leave open filled in: from the file descriptors that the process may have now.
    static connection_limits of(const admission_options& o) noexcept;

    enum class verdict : std::uint8_t { admitted, admitted_in_reserve, too_many, too_many_of_client };
    /// Counts the connection where it is admitted. Throws std::bad_alloc, counting nothing.
    verdict enter(client_key who);
    /// `in_reserve`: as which it was admitted.
    void leave(client_key who, bool in_reserve) noexcept;

    std::size_t count() const noexcept { return count_; }
    std::size_t most() const noexcept { return most_; }
    std::size_t reserve() const noexcept { return reserve_; }
    std::size_t most_of_a_client() const noexcept { return most_of_a_client_; }

private:
    std::size_t most_;
    std::size_t most_of_a_client_;
    std::size_t reserve_;
    std::size_t count_ = 0;
    std::size_t in_reserve_ = 0; // of them
    std::unordered_map<client_key, std::uint32_t> clients_;
};

} // namespace genever::http
