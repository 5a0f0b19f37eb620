// The routes of the showcase.
#pragma once

#include <genever/web/router.hpp>

namespace showcase {

/// All routes, behind a logger and a recovery middleware. `limit` and `window_ms` are those of the rate limiter.
genever::web::router routes(std::uint64_t limit);

} // namespace showcase
