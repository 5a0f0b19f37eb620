#include <genever/runtime/blocking.hpp>

using namespace genever;

task<> f() {
    co_await blocking([]() -> task<> { co_return; });
}
