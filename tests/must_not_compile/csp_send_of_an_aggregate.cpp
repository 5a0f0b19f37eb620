#include <genever/csp/select.hpp>

#include <memory>
#include <string>

using namespace genever;

struct request {
    std::string text;
};

task<> f(chan<request> c) { co_await c.send(request{"a text that is long enough for the heap"}); }
