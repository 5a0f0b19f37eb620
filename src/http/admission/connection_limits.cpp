#include "http/admission/connection_limits.hpp"

#include <algorithm>
#include <sys/resource.h>

namespace genever::http {

namespace {

std::size_t descriptors() noexcept {
    rlimit l{};
    if (getrlimit(RLIMIT_NOFILE, &l) != 0) return 1024;
    constexpr rlim_t sane = 16'777'216; // where there is no limit
    return static_cast<std::size_t>(std::min(l.rlim_cur, sane));
}

} // namespace

connection_limits::connection_limits(std::size_t most, std::size_t most_of_a_client,
                                     std::size_t reserved) noexcept
    : most_(std::max<std::size_t>(most, 1)), most_of_a_client_(std::max<std::size_t>(most_of_a_client, 1)),
      reserve_(std::min(reserved, most_ / 8)) {}

connection_limits connection_limits::of(const admission_options& o) noexcept {
    std::size_t most = o.max_connections;
    if (most == 0) {
        const std::size_t all = descriptors();
        most = all - all / 8;
    }
    const std::size_t client = o.max_connections_per_client;
    return {most, client != 0 ? client : most - most / 2, o.reserved_connections};
}

connection_limits::verdict connection_limits::enter(client_key who) {
    if (count_ >= most_) return verdict::too_many;
    std::uint32_t& of_client = clients_[who];
    if (of_client >= most_of_a_client_) return verdict::too_many_of_client;
    ++of_client;
    ++count_;
    // Those in the reserve do not take places of the others: else all that come while it is full would be in it at last.
    if (count_ - in_reserve_ <= most_ - reserve_) return verdict::admitted;
    ++in_reserve_;
    return verdict::admitted_in_reserve;
}

void connection_limits::leave(client_key who, bool in_reserve) noexcept {
    if (in_reserve) --in_reserve_;
    const auto at = clients_.find(who);
    if (--at->second == 0) clients_.erase(at);
    --count_;
}

} // namespace genever::http
