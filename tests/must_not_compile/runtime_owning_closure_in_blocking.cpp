#include <genever/runtime/blocking.hpp>

#include <string>

using namespace genever;

task<> f(std::string path) {
    co_await blocking([path] { return path.size(); });
}
