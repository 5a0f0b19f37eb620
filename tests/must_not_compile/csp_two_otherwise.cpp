#include <genever/csp/select.hpp>

#include <memory>
#include <string>

using namespace genever;

task<> f(chan<int> c) { co_await select(recv(c), otherwise(), otherwise()); }
