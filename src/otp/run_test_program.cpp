// A program for run_test.cpp: what its argument says, told on standard output in lines.
#include <genever/otp/run.hpp>

#include <genever/runtime/receive.hpp>
#include <genever/runtime/time.hpp>

#include <cstdio>
#include <stdexcept>
#include <string>
#include <string_view>

using namespace genever;
using namespace std::chrono_literals;

namespace {

void tell(std::string_view line) {
    std::printf("%.*s\n", static_cast<int>(line.size()), line.data());
    std::fflush(stdout);
}

struct worker : gen_server<worker> {
    struct crash {};

    explicit worker(std::string how) : how_(std::move(how)) {}
    void init() {
        trap_exit(true);
        if (how_ == "refuse") throw std::runtime_error("refused");
    }
    void handle(crash) { throw std::runtime_error("crash"); }
    task<> terminate(const exit_reason& why) {
        tell("terminate " + to_string(why));
        if (how_ == "endless") co_await sleep_for(24h);
    }

private:
    std::string how_;
};

} // namespace

int main(int argc, char** argv) {
    const std::string how = argc > 1 ? argv[1] : "";
    supervisor top{strategy::one_for_one,
                   {child<worker>("w", how).shutdown(how == "endless" ? infinity : duration{5s})}};
    if (how.starts_with("give-up")) top.max_restarts(0);
    run_options options;
    options.on_started = [how](pid root) -> task<> {
        if (how == "bad-hook") throw std::runtime_error("hook");
        const supervision_node tree = co_await supervision_tree(supervisor_ref{root});
        tell("up " + tree.name + " " + tree.children.front().name);
        if (how == "give-up-late") { // the stop is requested, but nobody has been told yet: we are the keeper
            for (;;) {
                if (stop_requested()) break;
                co_await yield();
            }
        }
        if (how.starts_with("give-up")) {
            monitor(root);
            server_ref<worker>{"w"}.cast(worker::crash{});
            co_await receive([](const down&) {});
        }
    };
    return run(std::move(top), std::move(options));
}
