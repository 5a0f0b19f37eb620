// The routes of the showcase.
#pragma once

#include <genever/web/router.hpp>

#include <cstdint>

namespace showcase {

/// All routes, behind a logger and a recovery middleware. `limit` is the rate limiter's, for the header that tells it.
genever::web::router routes(std::uint64_t limit);

} // namespace showcase
