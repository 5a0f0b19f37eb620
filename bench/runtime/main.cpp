// The runtime's micro-benchmarks; README.md says what each one measures.

#include "harness.hpp"

#include <benchmark/benchmark.h>

#include <chrono>
#include <exception>
#include <map>
#include <string>

namespace {

bool failed = false;
std::map<std::string, double> notes; // of the batch that runs, written and read between its processes' runs

/// One batch; how long it took, in seconds.
double timed(genever::runtime& rt, bench::body work, std::int64_t n) {
    return rt.run([work, n]() -> genever::task<double> {
        const auto begin = std::chrono::steady_clock::now();
        co_await work(n);
        const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
        co_return took.count();
    });
}

void measure(benchmark::State& state, bench::body work, std::int64_t batch, bool warm) {
    notes.clear();
    double seconds = 0;
    std::int64_t operations = 0;
    try {
        genever::runtime rt{{.workers = static_cast<unsigned>(state.range(0)), .on_crash = {}}};
        if (warm) timed(rt, work, batch);
        for (auto _ : state) {
            const double took = timed(rt, work, batch);
            state.SetIterationTime(took);
            seconds += took;
            operations += batch;
        }
    } catch (const std::exception& e) {
        failed = true;
        state.SkipWithError(e.what());
        return;
    }
    state.SetItemsProcessed(operations);
    state.counters["ns"] = seconds * 1e9 / static_cast<double>(operations);
    for (const auto& [name, value] : notes) state.counters[name] = value;
}

benchmark::internal::Benchmark* add_all(const char* name, bench::body work, std::int64_t batch,
                                        int most_workers, bool warm) {
    auto* b = benchmark::RegisterBenchmark(
        name, [work, batch, warm](benchmark::State& state) { measure(state, work, batch, warm); });
    b->ArgName("workers")->UseManualTime()->Unit(benchmark::kMillisecond);
    for (int workers = 1; workers <= most_workers; ++workers) b->Arg(workers);
    return b;
}

} // namespace

void bench::add(const char* name, body work, std::int64_t batch, int most_workers) {
    add_all(name, work, batch, most_workers, true);
}

void bench::add_once(const char* name, body work, std::int64_t n, int most_workers) {
    add_all(name, work, n, most_workers, false)->Iterations(1);
}

void bench::note(const char* counter, double value) { notes[counter] = value; }

int main(int argc, char** argv) {
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
    bench::add_spawn(); // first: spawn_park wants memory that nobody has touched yet
    bench::add_messages();
    bench::add_calls();
    bench::add_channels();
    bench::add_select();
    bench::add_mutex();
    bench::add_timers();
    bench::add_yield();
    bench::add_skynet();
    const auto ran = benchmark::RunSpecifiedBenchmarks();
    benchmark::Shutdown();
    return failed || ran == 0 ? 1 : 0;
}
