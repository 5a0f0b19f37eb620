// A struct that nobody has described cannot be rendered.
#include <genever/web/router.hpp>

struct secret {
    int value = 0;
};

int main() {
    genever::web::router app;
    app.get("/", [](genever::web::context& c) { c.json(200, secret{}); });
}
