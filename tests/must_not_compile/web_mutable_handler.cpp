// A handler that changes its captures would be a data race between requests.
#include <genever/web/router.hpp>

int main() {
    genever::web::router app;
    app.get("/", [n = 0](genever::web::context& c) mutable { c.json(200, ++n); });
}
