#include <genever/csp/select.hpp>

#include <memory>
#include <string>

using namespace genever;

task<> f(chan<int> c, std::shared_ptr<int> owned) {
    co_await select(recv(c, [owned](std::optional<int>) {}));
}
