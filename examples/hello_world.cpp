#include <genever/genever.hpp>

using namespace genever;

int main() {
    web::router app;
    app.use(web::logger(), web::recovery());
    app.get("/ping", [](web::context& c) { c.json(200, {{"message", "pong"}}); });

    supervisor tree{strategy::one_for_one, {child<http::server>("endpoint", {.port = 4000, .handler = app})}};
    return run(tree);
}
