#include <genever/genever.hpp>

#include <chrono>

// Touches the lowest room and the scheduler's: the program links, and a process runs.
int main() {
    using namespace std::chrono_literals;
    genever::runtime runtime{{.workers = 1, .on_crash = {}}};
    int answer = runtime.run([]() -> genever::task<int> {
        co_await genever::sleep_for(1ms);
        co_return 42;
    });
    return answer == 42 ? 0 : 1;
}
