// The routes of the showcase.
#pragma once

#include <genever/http/admission.hpp>
#include <genever/web/router.hpp>

#include <cstdint>
#include <memory>

namespace showcase {

/// All routes, behind a logger and a recovery middleware. `limit` is the rate limiter's, for the header that tells it; `stats`
/// are the server's, for `/admission`.
genever::web::router routes(std::uint64_t limit, std::shared_ptr<const genever::http::server_stats> stats);

} // namespace showcase
