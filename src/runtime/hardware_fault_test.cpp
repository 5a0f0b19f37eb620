// Compiled twice: as the rest of the tests, and without optimisation.
#include <genever/runtime/hardware_fault.hpp>

#include <genever/runtime/blocking.hpp>
#include <genever/runtime/process.hpp>
#include <genever/runtime/runtime.hpp>
#include <genever/runtime/time.hpp>

#include "simulation_test_support.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstring>
#include <functional>
#include <iostream>
#include <limits>
#include <mutex>
#include <streambuf>
#include <string>
#include <sys/mman.h>
#include <sys/resource.h>
#include <thread>
#include <unistd.h>
#include <vector>

#define NEEDS_EXCEPTIONS()                                                                                   \
    if (!hardware_faults_are_exceptions()) GTEST_SKIP() << "faults are not exceptions in this build"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define NEEDS_HANDLERS() GTEST_SKIP() << "the sanitizer handles faults"
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define NEEDS_HANDLERS() GTEST_SKIP() << "the sanitizer handles faults"
#endif
#endif
#ifndef NEEDS_HANDLERS
#define NEEDS_HANDLERS()                                                                                     \
    do {                                                                                                     \
    } while (false)
#endif

using namespace genever;
using namespace std::chrono_literals;
using genever::test::under_seeds;

namespace {

#define FRAME [[gnu::noinline]]

// What the compiler must not know.
int* volatile no_int = nullptr;
using function = int (*)();
volatile function no_function = nullptr;
volatile int zero = 0;
volatile int lowest = std::numeric_limits<int>::min();
volatile int sink = 0;
volatile long far = 1L << 42;

int alive = 0;

struct counted {
    FRAME counted() { ++alive; }
    FRAME ~counted() { --alive; }
    counted(const counted&) = delete;
};

struct witness {
    std::vector<std::string>& order;
    const char* name;
    ~witness() { order.emplace_back(name); }
};

constexpr int line_of_read = __LINE__ + 1;
FRAME int read_through(const int* p) { return *p; }

FRAME void write_through(int* p) { *p = 1; }

constexpr int line_of_call = __LINE__ + 1;
FRAME int call_through(function f) { return f() + 1; }

FRAME int divide(int a, int b) { return a / b; }
FRAME int remainder(int a, int b) { return a % b; }

struct fault_case {
    const char* name;
    std::function<void()> make;
    fault_kind kind;
    std::uintptr_t address;
    const char* text;
};

struct mapped_nowhere {
    int* pages;
    mapped_nowhere() {
        char name[] = "/tmp/genever_fault_XXXXXX";
        const int fd = ::mkstemp(name);
        ::unlink(name);
        pages = static_cast<int*>(::mmap(nullptr, 4096, PROT_READ, MAP_SHARED, fd, 0)); // the file is empty
        ::close(fd);
    }
    ~mapped_nowhere() { ::munmap(pages, 4096); }
};

std::vector<fault_case> all_faults() {
    static int some[4];
    static const std::vector<int> elements(10);
    static const mapped_nowhere nowhere;
    return {
        {"read", [] { sink = read_through(no_int); }, fault_kind::bad_read, 0,
         "segmentation fault: read of address 0x0"},
        {"write", [] { write_through(no_int); }, fault_kind::bad_write, 0,
         "segmentation fault: write to address 0x0"},
        {"write at an offset", [] { write_through(no_int + 4); }, fault_kind::bad_write, 16,
         "segmentation fault: write to address 0x10"},
        {"call", [] { sink = call_through(no_function); }, fault_kind::bad_call, 0,
         "segmentation fault: call of address 0x0"},
        {"an index far too large", [] { sink = some[far]; }, fault_kind::bad_read,
         reinterpret_cast<std::uintptr_t>(some) + (std::uintptr_t{1} << 44),
         "segmentation fault: read of address 0x"},
        {"an element that a vector does not have", [] { sink = elements[static_cast<std::size_t>(far)]; },
         fault_kind::bad_read, reinterpret_cast<std::uintptr_t>(elements.data()) + (std::uintptr_t{1} << 44),
         "segmentation fault: read of address 0x"},
        {"no pointer at all", [] { sink = read_through(reinterpret_cast<int*>(0xdeadbeefdeadbeefUL)); },
         fault_kind::bad_read, hardware_fault::unknown_address,
         "segmentation fault: an address that is none, or is not aligned"},
        {"division", [] { sink = divide(1, zero); }, fault_kind::division, 0,
         "integer division by zero or overflow"},
        {"remainder", [] { sink = remainder(1, zero); }, fault_kind::division, 0,
         "integer division by zero or overflow"},
        {"the lowest by -1", [] { sink = divide(lowest, zero - 1); }, fault_kind::division, 0,
         "integer division by zero or overflow"},
        {"beyond a file", [] { sink = read_through(nowhere.pages); }, fault_kind::bus_error,
         reinterpret_cast<std::uintptr_t>(nowhere.pages), "bus error: access to address 0x"},
    };
}

/// Runs `body` in a process of a simulation and gives its reason.
template <class Body>
exit_reason reason_of(Body body) {
    simulation sim{1, [](const crash_report&) {}};
    return sim.run([body]() -> task<exit_reason> {
        spawn_monitor(body);
        co_return co_await receive([](const down& d) { return d.reason; });
    });
}

/// The end of the program is the point: no core.
void no_core() {
    const rlimit none{0, 0};
    setrlimit(RLIMIT_CORE, &none);
}

/// Runs `body` in a process on a worker's thread, until the program ends.
template <class Body>
void on_a_worker(Body body) {
    no_core();
    runtime rt{{.workers = 1, .on_crash = [](const crash_report&) {}}};
    rt.run([body]() -> task<> {
        spawn_monitor(body);
        co_await receive([](const down&) {});
    });
}

} // namespace

TEST(HardwareFault, EndsItsProcessWithItsKindAndAddress) {
    NEEDS_EXCEPTIONS();
    for (const fault_case& c : all_faults()) {
        SCOPED_TRACE(c.name);
        const exit_reason why = reason_of([make = c.make] { make(); });
        EXPECT_EQ(why, exit_kind::error);
        EXPECT_EQ(why.type(), "genever::hardware_fault");
        EXPECT_TRUE(why.text().starts_with(c.text)) << why.text();
        ASSERT_TRUE(why.exception());
        try {
            std::rethrow_exception(why.exception());
        } catch (const hardware_fault& f) {
            EXPECT_EQ(f.kind(), c.kind);
            if (c.kind != fault_kind::division) {
                EXPECT_EQ(f.address(), c.address);
            }
        }
    }
}

TEST(HardwareFault, TraceBeginsAtTheFaultingLineAndLeadsToTheCoroutine) {
    NEEDS_EXCEPTIONS();
    const auto check = [](const exit_reason& why, std::string_view function, int line) {
        ASSERT_TRUE(why.trace());
        const auto text = to_string(*why.trace());
        const auto frames = symbolise(why.trace()->addresses());
        ASSERT_GE(frames.size(), 3U) << text;
        EXPECT_NE(frames[0].function.find(function), std::string::npos) << text;
        EXPECT_TRUE(frames[0].file.ends_with("hardware_fault_test.cpp")) << text;
        EXPECT_EQ(frames[0].line, line) << text;
        EXPECT_NE(text.find("TraceBeginsAtTheFaultingLine"), std::string::npos) << text;
        EXPECT_NE(text.find("runtime_core::run"), std::string::npos) << text;
    };
    check(reason_of([]() -> task<> {
              co_await sleep_for(1ms);
              sink = read_through(no_int);
          }),
          "read_through", line_of_read);
    check(reason_of([]() -> task<> {
              co_await sleep_for(1ms);
              sink = call_through(no_function);
          }),
          "call_through", line_of_call);
}

TEST(HardwareFault, DestroysTheFramesOfNestedTasksInnermostFirst) {
    NEEDS_EXCEPTIONS();
    under_seeds([](simulation& sim) {
        std::vector<std::string> order;
        const exit_reason why = sim.run([&]() -> task<exit_reason> {
            spawn_monitor([&order]() -> task<> {
                const witness root{order, "root"};
                const auto middle = [](std::vector<std::string>& o) -> task<int> {
                    const witness mine{o, "middle"};
                    const auto leaf = [](std::vector<std::string>& o) -> task<int> {
                        const witness first{o, "leaf, first"};
                        co_await sleep_for(1ms);
                        const witness second{o, "leaf, second"};
                        co_return read_through(no_int);
                    };
                    co_return co_await leaf(o);
                };
                sink = co_await middle(order);
                order.emplace_back("came back");
            });
            co_return co_await receive([](const down& d) { return d.reason; });
        });
        EXPECT_EQ(why, exit_kind::error);
        EXPECT_EQ(order, (std::vector<std::string>{"leaf, second", "leaf, first", "middle", "root"}));
    });
}

namespace {

FRAME int plain_with_locals(std::vector<std::string>& order, int depth) {
    const witness mine{order, depth == 0 ? "inner" : "outer"};
    const counted one;
    const std::string text(100, 'x');
    if (depth > 0) return plain_with_locals(order, depth - 1) + 1;
    return read_through(no_int) + static_cast<int>(text.size());
}

/// The faulting instruction itself stands between the locals' lives.
FRAME int faults_itself(std::vector<std::string>& order, const int* p, int by) {
    const witness before{order, "before"};
    const int quotient = 100 / by;
    const witness between{order, "between"};
    const int value = *p;
    const witness after{order, "after"};
    return quotient + value;
}

} // namespace

TEST(HardwareFault, RunsTheDestructorsOfPlainFunctionsOnTheWay) {
    NEEDS_EXCEPTIONS();
    std::vector<std::string> order;
    alive = 0;
    EXPECT_EQ(reason_of([&] { sink = plain_with_locals(order, 1); }), exit_kind::error);
    EXPECT_EQ(order, (std::vector<std::string>{"inner", "outer"}));
    EXPECT_EQ(alive, 0);
    order.clear();
    EXPECT_EQ(reason_of([&] { sink = faults_itself(order, no_int, 1); }), exit_kind::error);
    EXPECT_EQ(order, (std::vector<std::string>{"between", "before"}));
    order.clear();
    EXPECT_EQ(reason_of([&] { sink = faults_itself(order, no_int, zero); }), exit_kind::error);
    EXPECT_EQ(order, (std::vector<std::string>{"before"}));
}

TEST(HardwareFault, ReleasesALockThatAGuardHolds) {
    NEEDS_EXCEPTIONS();
    std::mutex m;
    EXPECT_EQ(reason_of([&] {
                  const std::lock_guard g{m};
                  write_through(no_int);
              }),
              exit_kind::error);
    ASSERT_TRUE(m.try_lock());
    m.unlock();
}

TEST(HardwareFault, MayBeCaughtAndTheRegistersAreAsTheyWere) {
    NEEDS_EXCEPTIONS();
    const exit_reason why = reason_of([] {
        long a = 1, b = 2, c = 3, d = 4, e = 5, f = 6, g = 7;
        for (int i = 0; i < 100; ++i) {
            try {
                if (i % 2 == 0) write_through(no_int);
                sink = call_through(no_function);
                throw std::logic_error("no fault");
            } catch (const std::logic_error&) {
                throw;
            } catch (const hardware_fault&) {
                a += 1, b += 2, c += 3, d += 4, e += 5, f += 6, g += 7;
            }
        }
        if (a != 101 || b != 202 || c != 303 || d != 404 || e != 505 || f != 606 || g != 707)
            throw std::runtime_error("a register was lost");
    });
    EXPECT_EQ(why, exit_kind::normal) << to_string(why);
}

TEST(HardwareFault, IsCaughtAsAStandardException) {
    NEEDS_EXCEPTIONS();
    for (const bool general : {false, true})
        EXPECT_EQ(reason_of([general] {
                      try {
                          if (general) {
                              try {
                                  sink = read_through(no_int);
                              } catch (const std::runtime_error&) {
                                  sink = divide(1, zero);
                              }
                          } else {
                              sink = read_through(no_int);
                          }
                      } catch (const std::exception&) {
                      }
                  }),
                  exit_kind::normal);
}

TEST(HardwareFault, PassesThroughTheStandardLibraryWhereThatCatchesNothing) {
    NEEDS_EXCEPTIONS();
    struct : std::streambuf {
        int_type overflow(int_type) override { return read_through(no_int); }
    } buffer;
    const exit_reason why = reason_of([&] { buffer.sputn("text", 4); }); // xsputn is libstdc++'s
    EXPECT_EQ(why.type(), "genever::hardware_fault");
}

TEST(HardwareFault, TenThousandInARowLeaveNothingBehind) {
    NEEDS_EXCEPTIONS();
    alive = 0;
    std::int64_t spent = 0;
    runtime rt{
        {.workers = 1, .on_crash = [](const crash_report&) {}, .on_stall = [](const stall_report&) {}}};
    rt.run([&]() -> task<> {
        for (int i = 0; i < 10'000; ++i) {
            spawn_monitor([]() -> task<> {
                const counted one;
                co_await yield();
                sink = read_through(no_int);
            });
            const bool right =
                co_await receive([](const down& d) { return d.reason.type() == "genever::hardware_fault"; });
            EXPECT_TRUE(right);
        }
        const auto start = std::chrono::steady_clock::now();
        for (int i = 0; i < 10'000; ++i) {
            try {
                sink = read_through(no_int);
            } catch (const hardware_fault&) {
            }
        }
        spent = std::chrono::nanoseconds(std::chrono::steady_clock::now() - start).count();
    });
    EXPECT_EQ(alive, 0);
    std::cout << "one fault, thrown and caught: " << spent / 10'000 << " ns\n";
}

TEST(HardwareFault, OnAllWorkersAtOnce) {
    NEEDS_EXCEPTIONS();
    std::atomic<int> ended = 0;
    std::atomic<int> destroyed = 0;
    runtime rt{{.workers = 4, .on_crash = [](const crash_report&) {}}};
    rt.run([&]() -> task<> {
        constexpr int processes = 4000;
        for (int i = 0; i < processes; ++i)
            spawn_monitor([&destroyed, i]() -> task<> {
                struct count {
                    std::atomic<int>& n;
                    ~count() { ++n; }
                };
                const count mine{destroyed};
                co_await yield();
                switch (i % 4) {
                case 0: sink = read_through(no_int); break;
                case 1: write_through(no_int); break;
                case 2: sink = divide(1, zero); break;
                default: sink = call_through(no_function); break;
                }
            });
        for (int i = 0; i < processes; ++i) {
            const bool right = co_await receive([](const down& d) { return d.reason == exit_kind::error; });
            if (right) ++ended;
        }
    });
    EXPECT_EQ(ended, 4000);
    EXPECT_EQ(destroyed, 4000);
}

TEST(HardwareFault, HandlersAreThereAsLongAsARuntimeIsAndThenAsBefore) {
    NEEDS_HANDLERS();
    const auto handler = [](int signal) {
        struct sigaction a{};
        sigaction(signal, nullptr, &a);
        return a.sa_sigaction;
    };
    for (const int s : {SIGSEGV, SIGBUS, SIGFPE}) {
        const auto before = handler(s);
        {
            simulation one{1};
            const auto ours = handler(s);
            EXPECT_NE(ours, before);
            {
                runtime two{{.workers = 1}};
                EXPECT_EQ(handler(s), ours);
            }
            EXPECT_EQ(handler(s), ours);
        }
        EXPECT_EQ(handler(s), before);
    }
}

// ---- what ends the program, as it would without a handler

namespace {

// Without a parameter: GCC would move the read of `*p` to the caller.
FRAME int read_noexcept() noexcept { return *no_int; }

FRAME int read_noexcept_with_a_local() noexcept {
    const counted one;
    return *no_int;
}

struct faults_in_its_destructor {
    ~faults_in_its_destructor() { sink = read_through(no_int); }
};

FRAME int recurse(volatile int* n) {
    volatile int room[16];
    room[0] = *n;
    return *n == 0 ? 0 : recurse(n) + room[0];
}

[[noreturn]] void leave_with_42(int) { _exit(42); }

} // namespace

TEST(HardwareFaultDeath, InANoexceptFunctionEndsTheProgram) {
    NEEDS_EXCEPTIONS();
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    EXPECT_EXIT(on_a_worker([] { sink = read_noexcept(); }), testing::KilledBySignal(SIGSEGV),
                "read of address 0x0.* in process <.*noexcept");
    EXPECT_EXIT(on_a_worker([] { sink = read_noexcept_with_a_local(); }), testing::KilledBySignal(SIGSEGV),
                "noexcept");
    EXPECT_EXIT(on_a_worker([] { const faults_in_its_destructor d; }), testing::KilledBySignal(SIGSEGV),
                "noexcept");
}

TEST(HardwareFaultDeath, OutsideOfAProcessEndsTheProgram) {
    NEEDS_HANDLERS();
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    const auto beside_a_runtime = [](auto fault) {
        no_core();
        const runtime rt{{.workers = 1}};
        fault();
    };
    EXPECT_EXIT(beside_a_runtime([] { sink = read_through(no_int); }), testing::KilledBySignal(SIGSEGV),
                "runs no process");
    EXPECT_EXIT(beside_a_runtime([] { sink = divide(1, zero); }), testing::KilledBySignal(SIGFPE),
                "runs no process");
    EXPECT_EXIT(beside_a_runtime([] { std::thread{[] { sink = read_through(no_int); }}.join(); }),
                testing::KilledBySignal(SIGSEGV), "runs no process");
    const auto on_the_pool = []() -> task<> {
        auto call = blocking([] { return read_through(no_int); });
        sink = co_await std::move(call);
    };
    EXPECT_EXIT(on_a_worker(on_the_pool), testing::KilledBySignal(SIGSEGV), "runs no process");
}

TEST(HardwareFaultDeath, InALibraryOrTheRuntimeEndsTheProgram) {
    NEEDS_EXCEPTIONS();
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    EXPECT_EXIT(on_a_worker([] {
                    std::size_t (*volatile length)(const char*) = &std::strlen;
                    sink = static_cast<int>(length(reinterpret_cast<const char*>(no_int)));
                }),
                testing::KilledBySignal(SIGSEGV), "lies in a library");
    EXPECT_EXIT(on_a_worker([] {
                    int numbers[] = {2, 1};
                    std::qsort(numbers, 2, sizeof(int),
                               [](const void*, const void*) { return read_through(no_int); });
                }),
                testing::KilledBySignal(SIGSEGV), "a library lies between");
    EXPECT_EXIT(on_a_worker([] { detail::release_claim(*reinterpret_cast<detail::process*>(no_int)); }),
                testing::KilledBySignal(SIGSEGV), "lies in the runtime");
}

namespace {

/// A user's stream buffer: its faults pass through libstdc++, which catches everything in its operators.
struct faulty_buffer : std::streambuf {
    int_type overflow(int_type) override { return read_through(no_int); }
    int_type underflow() override { return read_through(no_int); }
};

} // namespace

TEST(HardwareFaultDeath, WhatAStreamWouldSwallowEndsTheProgram) {
    NEEDS_EXCEPTIONS();
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    const char* const why = "in process <.*a library would catch it";
    EXPECT_EXIT(on_a_worker([] {
                    faulty_buffer b;
                    std::ostream{&b} << "text";
                }),
                testing::KilledBySignal(SIGSEGV), why);
    EXPECT_EXIT(on_a_worker([] {
                    faulty_buffer b;
                    std::ostream{&b} << 42;
                }),
                testing::KilledBySignal(SIGSEGV), why);
    EXPECT_EXIT(on_a_worker([] {
                    faulty_buffer b;
                    int n = 0;
                    std::istream{&b} >> n;
                }),
                testing::KilledBySignal(SIGSEGV), why);
}

TEST(HardwareFaultDeath, RunawayRecursionEndsTheProgramWithAReport) {
    NEEDS_HANDLERS();
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    EXPECT_EXIT(on_a_worker([] {
                    volatile int n = 1;
                    sink = recurse(&n);
                }),
                testing::KilledBySignal(SIGSEGV), "in process <.*the stack has run out");
}

TEST(HardwareFaultDeath, ASignalThatWasSentIsNoFault) {
    NEEDS_HANDLERS();
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    for (const int s : {SIGSEGV, SIGBUS, SIGFPE})
        EXPECT_EXIT(on_a_worker([s] { ::raise(s); }), testing::KilledBySignal(s), "^$");
}

TEST(HardwareFaultDeath, AHandlerFromBeforeGetsWhatIsNotThrown) {
    NEEDS_HANDLERS();
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    EXPECT_EXIT(
        {
            ::signal(SIGSEGV, leave_with_42);
            on_a_worker([] { sink = read_noexcept(); });
        },
        testing::ExitedWithCode(42), "^$");
}

TEST(HardwareFaultDeath, WithoutExceptionsForFaultsEndsTheProgramWithAReport) {
    NEEDS_HANDLERS();
    if (hardware_faults_are_exceptions()) GTEST_SKIP() << "this build has them";
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    EXPECT_EXIT(on_a_worker([] { sink = read_through(no_int); }), testing::KilledBySignal(SIGSEGV),
                "read of address 0x0.* in process <.*built without");
}
