// Routes that stand for the kinds of work that services do: computing, waiting, a pool, an order; and for hogs.
#pragma once

#include <genever/web/router.hpp>

namespace showcase {

void add_work_routes(genever::web::router& app);

} // namespace showcase
