// A handler that returns something: the router says what a handler must look like.
#include <genever/web/router.hpp>

int main() {
    genever::web::router app;
    app.get("/", [](genever::web::context&) { return 200; });
}
