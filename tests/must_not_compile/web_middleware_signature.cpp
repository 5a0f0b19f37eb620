// A handler in the place of a middleware.
#include <genever/web/router.hpp>

int main() {
    genever::web::router app;
    app.use([](genever::web::context&) {});
}
