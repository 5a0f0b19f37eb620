#include <genever/base/stack_trace.hpp>

#include <genever/base/demangle.hpp>

#include <gtest/gtest.h>

#include <atomic>
#include <coroutine>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <memory>
#include <pthread.h>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <typeinfo>
#include <ucontext.h>
#include <unistd.h>
#include <vector>

namespace {

using namespace genever;

// Keeps a function from being inlined: it is a frame of its own.
#define FRAME [[gnu::noinline]]

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool sanitized = true;
#elif defined(__has_feature)
constexpr bool sanitized = __has_feature(address_sanitizer) || __has_feature(thread_sanitizer);
#else
constexpr bool sanitized = false;
#endif

volatile int always = 1; // keeps the compiler from knowing where control goes

struct parse_error : std::runtime_error {
    using std::runtime_error::runtime_error;
};

constexpr int line_of_throw = __LINE__ + 2;
FRAME int parse_age(int n) {
    if (always) throw parse_error("not an age");
    return n;
}

FRAME int read_person(int n) {
    return parse_age(n) + always; // not a tail call
}

template <class F>
stack_trace trace_thrown_by(F f) {
    try {
        f();
    } catch (...) {
        return trace_of_current_exception();
    }
    return {};
}

const stack_frame* find(const std::vector<stack_frame>& frames, std::string_view function) {
    for (const auto& f : frames)
        if (f.function.find(function) != f.function.npos) return &f;
    return nullptr;
}

struct detached_coroutine {
    struct promise_type {
        detached_coroutine get_return_object() {
            return {std::coroutine_handle<promise_type>::from_promise(*this)};
        }
        std::suspend_always initial_suspend() noexcept { return {}; }
        std::suspend_always final_suspend() noexcept { return {}; }
        void return_void() {}
        void unhandled_exception() { trace = trace_of_current_exception(); }
        stack_trace trace;
    };
    std::coroutine_handle<promise_type> handle;
};

detached_coroutine charge_customer(int cents) {
    co_await std::suspend_always{};
    read_person(cents);
}

FRAME void resume_twice(std::coroutine_handle<> h) {
    h.resume();
    h.resume();
    always = always + 0; // not a tail call
}

TEST(StackTrace, IsEmptyUntilItIsTaken) {
    stack_trace t;
    EXPECT_TRUE(t.empty());
    EXPECT_EQ(t.size(), 0U);
    EXPECT_EQ(to_string(t), "  (no stack trace)");
    EXPECT_TRUE(symbolise({}).empty());
}

TEST(StackTrace, StaysSmallEnoughToKeepInEveryCrash) { EXPECT_LE(sizeof(stack_trace), 200U); }

FRAME stack_trace taken_here(std::size_t skip) {
    auto t = stack_trace::current(skip);
    always = always + 0;
    return t;
}

TEST(StackTrace, OfTheCurrentPointNamesItsCallersInnermostFirst) {
    const auto frames = symbolise(taken_here(0).addresses());
    ASSERT_GE(frames.size(), 2U);
    EXPECT_NE(frames[0].function.find("taken_here"), std::string::npos) << frames[0].function;
    EXPECT_NE(frames[1].function.find("OfTheCurrentPoint"), std::string::npos) << frames[1].function;
}

TEST(StackTrace, LeavesOutWhatTheCallerAsksItToSkip) {
    const auto frames = symbolise(taken_here(1).addresses());
    ASSERT_FALSE(frames.empty());
    EXPECT_NE(frames[0].function.find("LeavesOut"), std::string::npos) << frames[0].function;
    EXPECT_TRUE(taken_here(1000).empty());
}

FRAME int recurse(int depth, stack_trace& t) {
    if (depth == 0) {
        t = stack_trace::current();
        return 0;
    }
    return recurse(depth - 1, t) + always;
}

TEST(StackTrace, KeepsTheInnermostFramesOfADeepStackAndSaysSo) {
    stack_trace t;
    recurse(200, t);
    EXPECT_EQ(t.size(), stack_trace::capacity);
    EXPECT_NE(to_string(t).find("deeper frames were not recorded"), std::string::npos);
}

TEST(StackTrace, EndsAtAFramePointerThatLeadsNowhere) {
    std::thread([] {
        const auto code = reinterpret_cast<std::uintptr_t>(&read_person);
        std::uintptr_t stack[16] = {};
        std::uintptr_t* record = &stack[8];
        set_thread_stack_bounds(&stack[0], &stack[0] + 16);
        const auto here = reinterpret_cast<std::uintptr_t>(record);
        // what a function compiled without frame pointers may leave in the register
        for (const std::uintptr_t next :
             {std::uintptr_t{0}, std::uintptr_t{1}, here, here - 64, here + 3, here + 56, here + 64, code,
              std::uintptr_t{0x7ff0'0000'0000}, ~std::uintptr_t{0}, ~std::uintptr_t{7}}) {
            record[0] = next;
            record[1] = code;
            EXPECT_EQ(stack_trace::of_interrupted(nullptr, record).size(), 2U) << std::hex << next;
        }
        EXPECT_EQ(stack_trace::of_interrupted(nullptr, nullptr).size(), 1U);
    }).join();
}

TEST(StackTrace, NeverReadsBeyondTheBoundsThatAThreadWasTold) {
    std::thread([] {
        const auto code = reinterpret_cast<std::uintptr_t>(&read_person);
        std::uintptr_t records[] = {0, code, 0, code}; // a frame and its caller's
        records[0] = reinterpret_cast<std::uintptr_t>(&records[2]);
        set_thread_stack_bounds(&records[0], &records[0] + 4);
        EXPECT_EQ(stack_trace::of_interrupted(nullptr, records).size(), 3U);
        set_thread_stack_bounds(&records[0], &records[0] + 3);
        EXPECT_EQ(stack_trace::of_interrupted(nullptr, records).size(), 2U);
        set_thread_stack_bounds(&records[1], &records[0] + 4);
        EXPECT_EQ(stack_trace::of_interrupted(nullptr, records).size(), 1U);
    }).join();
}

stack_trace interrupted;

void take_trace_in_handler(int, siginfo_t*, void* context) {
    const auto& registers = static_cast<ucontext_t*>(context)->uc_mcontext;
#if defined(__x86_64__)
    const auto pc = registers.gregs[REG_RIP];
    const auto fp = registers.gregs[REG_RBP];
#else
    const auto pc = registers.pc;
    const auto fp = registers.regs[29];
#endif
    interrupted = stack_trace::of_interrupted(reinterpret_cast<void*>(pc), reinterpret_cast<void*>(fp));
}

FRAME void interrupted_in_the_c_library() {
    raise(SIGUSR1);
    always = always + 0;
}

TEST(StackTrace, OfAnInterruptedLibraryCallNamesTheFunctionThatMadeIt) {
    struct sigaction action{};
    struct sigaction before{};
    action.sa_sigaction = take_trace_in_handler;
    action.sa_flags = SA_SIGINFO;
    ASSERT_EQ(sigaction(SIGUSR1, &action, &before), 0);
    (void)stack_trace::current(); // so that the bounds of the stack are known
    interrupted_in_the_c_library();
    sigaction(SIGUSR1, &before, nullptr);
    EXPECT_NE(find(symbolise(interrupted.addresses()), "interrupted_in_the_c_library"), nullptr)
        << to_string(interrupted);
}

TEST(StackTrace, OfAThrowNamesTheThrowingFunctionFileAndLine) {
    const auto t = trace_thrown_by([] { read_person(1); });
    const auto frames = symbolise(t.addresses());
    ASSERT_GE(frames.size(), 3U) << to_string(t);
    EXPECT_NE(frames[0].function.find("parse_age(int)"), std::string::npos) << to_string(t);
    EXPECT_TRUE(frames[0].file.ends_with("stack_trace_test.cpp")) << to_string(t);
    EXPECT_EQ(frames[0].line, line_of_throw) << to_string(t);
    EXPECT_NE(frames[0].address, nullptr);
    EXPECT_NE(frames[1].function.find("read_person(int)"), std::string::npos) << to_string(t);
    EXPECT_NE(find(frames, "OfAThrowNames"), nullptr) << to_string(t);
    EXPECT_EQ(find(frames, "__cxa_throw"), nullptr) << to_string(t);
}

TEST(StackTrace, PrintsOneLineAFrame) {
    const auto t = trace_thrown_by([] { read_person(1); });
    const auto text = to_string(t);
    EXPECT_TRUE(text.starts_with("  #0 ")) << text;
    EXPECT_NE(text.find("stack_trace_test.cpp:" + std::to_string(line_of_throw) + "\n  #1 "),
              std::string::npos)
        << text;
    EXPECT_FALSE(text.ends_with('\n'));
}

TEST(StackTrace, OfAThrowUnderACoroutineNamesTheCoroutineAsItWasWritten) {
    auto c = charge_customer(5);
    resume_twice(c.handle);
    const auto t = c.handle.promise().trace;
    c.handle.destroy();
    const auto frames = symbolise(t.addresses());
    const auto* coroutine = find(frames, "charge_customer");
    ASSERT_NE(coroutine, nullptr) << to_string(t);
    EXPECT_TRUE(coroutine->function.ends_with("charge_customer(int)")) << coroutine->function;
    EXPECT_TRUE(coroutine->file.ends_with("stack_trace_test.cpp"));
    EXPECT_NE(find(frames, "resume_twice"), nullptr) << to_string(t);
}

TEST(StackTrace, OfAThrowInACoroutineLambdaNamesTheLambda) {
    auto lambda = [](int n) -> detached_coroutine {
        co_await std::suspend_always{};
        if (n > 0) throw parse_error("in a lambda");
    };
    auto c = lambda(always);
    resume_twice(c.handle);
    const auto t = c.handle.promise().trace;
    c.handle.destroy();
    const auto frames = symbolise(t.addresses());
    ASSERT_FALSE(frames.empty());
    EXPECT_NE(frames[0].function.find("CoroutineLambda"), std::string::npos) << to_string(t);
    EXPECT_EQ(frames[0].function.find(".Frame"), std::string::npos) << to_string(t);
    EXPECT_EQ(frames[0].function.find("clone"), std::string::npos) << to_string(t);
}

FRAME void throw_inside() {
    if (always) throw std::logic_error("inside");
}

struct throws_inside_its_destructor {
    FRAME ~throws_inside_its_destructor() {
        try {
            throw_inside();
        } catch (const std::logic_error&) {
            inner = trace_of_current_exception();
        }
    }
    stack_trace& inner;
};

TEST(StackTrace, OfAThrowIsNotMixedUpWithThoseInTheDestructorsThatItRuns) {
    stack_trace inner;
    const auto outer = trace_thrown_by([&] {
        throws_inside_its_destructor guard{inner};
        read_person(1);
    });
    const auto outer_frames = symbolise(outer.addresses());
    const auto inner_frames = symbolise(inner.addresses());
    ASSERT_FALSE(outer_frames.empty());
    ASSERT_FALSE(inner_frames.empty());
    EXPECT_NE(outer_frames[0].function.find("parse_age"), std::string::npos);
    EXPECT_NE(inner_frames[0].function.find("throw_inside"), std::string::npos);
    EXPECT_NE(find(inner_frames, "~throws_inside_its_destructor"), nullptr) << to_string(inner);
}

TEST(StackTrace, OfAThrowOutlivesARethrow) {
    const auto first = trace_thrown_by([] { read_person(1); });
    EXPECT_EQ(trace_thrown_by([] {
                  try {
                      read_person(1);
                  } catch (...) {
                      throw;
                  }
              })
                  .addresses()
                  .front(),
              first.addresses().front());

    std::exception_ptr kept;
    try {
        read_person(1);
    } catch (...) {
        kept = std::current_exception();
    }
    const auto once_more = trace_thrown_by([&] { std::rethrow_exception(kept); });
    EXPECT_EQ(once_more, trace_of(kept));
    EXPECT_EQ(once_more.addresses().front(), first.addresses().front());
}

TEST(StackTrace, IsKeptForTheLastEightThrowsOfTheThread) {
    std::vector<std::exception_ptr> thrown;
    for (int i = 0; i < 9; ++i) {
        try {
            read_person(i);
        } catch (...) {
            thrown.push_back(std::current_exception());
        }
    }
    EXPECT_TRUE(trace_of(thrown[0]).empty());
    for (int i = 1; i < 9; ++i) EXPECT_FALSE(trace_of(thrown[i]).empty()) << i;
}

TEST(StackTrace, IsEmptyForAnExceptionThatWasNeverThrown) {
    EXPECT_TRUE(trace_of(nullptr).empty());
    EXPECT_TRUE(trace_of_current_exception().empty());
    // the allocator hands out the address of the one thrown before, as a rule
    for (int i = 0; i < 100; ++i) {
        EXPECT_FALSE(trace_thrown_by([] { read_person(1); }).empty());
        EXPECT_TRUE(trace_of(std::make_exception_ptr(parse_error("made"))).empty());
        EXPECT_FALSE(trace_thrown_by([] { throw always; }).empty());
        EXPECT_TRUE(trace_of(std::make_exception_ptr(always + 0)).empty());
    }
}

TEST(StackTrace, IsEmptyForAnotherThreadsThrowEvenAtAnAddressThatThisThreadThrewAtBefore) {
    for (int i = 0; i < 100; ++i) {
        std::exception_ptr mine;
        try {
            read_person(1);
        } catch (...) {
            mine = std::current_exception();
        }
        std::exception_ptr theirs;
        std::thread([&] {
            mine = nullptr; // its memory is this thread's to use again now
            try {
                read_person(1);
            } catch (...) {
                theirs = std::current_exception();
            }
            EXPECT_FALSE(trace_of(theirs).empty());
        }).join();
        EXPECT_TRUE(trace_of(theirs).empty());
    }
}

FRAME int third_of(const std::vector<int>& v) { return v.at(3) + always; }

TEST(StackTrace, OfAThrowByTheStandardLibraryNamesTheFunctionThatCalledIt) {
    const std::vector<int> v(static_cast<std::size_t>(always));
    const auto t = trace_thrown_by([&] { third_of(v); });
    const auto frames = symbolise(t.addresses());
    const auto* caller = find(frames, "third_of");
    ASSERT_NE(caller, nullptr) << to_string(t);
    EXPECT_TRUE(caller->file.ends_with("stack_trace_test.cpp"));
    EXPECT_NE(find(frames, "OfAThrowByTheStandardLibrary"), nullptr) << to_string(t);
    EXPECT_FALSE(frames[0].function.starts_with("std::__throw_")) << to_string(t);
}

FRAME std::string tail_of(const std::string& s) {
    auto tail = s.substr(static_cast<std::size_t>(always) + 10);
    always = always + 0;
    return tail;
}

TEST(StackTrace, OfAThrowInsideTheSharedLibraryReachesBackToTheProgram) {
    // substr of an instantiation that lives in libstdc++.so itself
    const auto t = trace_thrown_by([] { tail_of("short"); });
    EXPECT_NE(find(symbolise(t.addresses()), "tail_of"), nullptr) << to_string(t);
    const auto u = trace_thrown_by([] { (void)std::filesystem::file_size("/nonexistent/file"); });
    EXPECT_NE(find(symbolise(u.addresses()), "ReachesBackToTheProgram"), nullptr) << to_string(u);
}

void* throw_on_this_thread(void* result) {
    *static_cast<stack_trace*>(result) = trace_thrown_by([] { read_person(1); });
    return nullptr;
}

TEST(StackTrace, OfAThrowWorksOnAThreadWithASmallStack) {
    pthread_attr_t attributes;
    ASSERT_EQ(pthread_attr_init(&attributes), 0);
    ASSERT_EQ(pthread_attr_setstacksize(&attributes, 64 * 1024), 0);
    stack_trace t;
    pthread_t thread{};
    ASSERT_EQ(pthread_create(&thread, &attributes, throw_on_this_thread, &t), 0);
    pthread_join(thread, nullptr);
    pthread_attr_destroy(&attributes);
    EXPECT_NE(find(symbolise(t.addresses()), "throw_on_this_thread"), nullptr) << to_string(t);
}

TEST(StackTrace, OfAThrowIsRightOnManyThreadsAtOnce) {
    std::atomic<int> wrong{0};
    std::vector<std::thread> threads;
    const auto expected = trace_thrown_by([] { read_person(1); }).addresses().front();
    for (int i = 0; i < 4; ++i)
        threads.emplace_back([&] {
            for (int n = 0; n < 2000; ++n) {
                const auto t = trace_thrown_by([] { read_person(1); });
                // another thread's throw may share this address's place in the table: then there is none
                if (!t.empty() && t.addresses().front() != expected) ++wrong;
                if (n % 500 == 0 && symbolise(t.addresses()).empty() && !t.empty()) ++wrong;
            }
        });
    for (auto& t : threads) t.join();
    EXPECT_EQ(wrong, 0);
}

std::size_t resident_kilobytes() {
    std::size_t size = 0;
    std::size_t resident = 0;
    std::ifstream("/proc/self/statm") >> size >> resident;
    return resident * static_cast<std::size_t>(sysconf(_SC_PAGESIZE)) / 1024;
}

TEST(StackTrace, MemoryDoesNotGrowWithAMillionThrows) {
    // sanitizers are slow, and keep freed memory back
    constexpr int throws = sanitized ? 20'000 : 1'000'000;
    constexpr std::size_t allowance = (sanitized ? 64 : 4) * 1024;
    const auto throw_many = [](int n) {
        for (int i = 0; i < n; ++i) (void)trace_thrown_by([] { read_person(1); });
    };
    throw_many(1000);
    const auto before = resident_kilobytes();
    throw_many(throws);
    EXPECT_LE(resident_kilobytes(), before + allowance);
}

TEST(StackTrace, CountsAStrayAddressForNothing) {
    void* const stray[] = {reinterpret_cast<void*>(0x10), reinterpret_cast<void*>(~std::uintptr_t{0} - 5)};
    EXPECT_TRUE(symbolise(stray).empty());
}

TEST(Demangle, SpellsNamesAsTheyAreWritten) {
    EXPECT_EQ(demangle(typeid(int)), "int");
    EXPECT_EQ(demangle(typeid(std::string)), "std::string");
    EXPECT_EQ(demangle(typeid(std::runtime_error)), "std::runtime_error");
    EXPECT_EQ(demangle(typeid(std::vector<std::string_view>)),
              "std::vector<std::string_view, std::allocator<std::string_view>>");
    EXPECT_EQ(demangle("_Z3fooi"), "foo(int)");
    EXPECT_EQ(demangle("f"), "f"); // a C function, not the type float
    EXPECT_EQ(demangle("main"), "main");
    EXPECT_EQ(demangle("main.cold"), "main");
    EXPECT_EQ(demangle("_Znonsense!"), "_Znonsense!");
    EXPECT_EQ(demangle(static_cast<const char*>(nullptr)), "");
}

TEST(Demangle, NamesTheResumeFunctionsOfBothCompilersAfterTheirCoroutine) {
    EXPECT_EQ(demangle("_Z3fooi.resume"), "foo(int)");
    EXPECT_EQ(demangle("_Z3fooi.actor"), "foo(int)");
    EXPECT_EQ(demangle("_Z3fooPZ3fooiE13_Z3fooi.Frame"), "foo(int)");
    EXPECT_EQ(demangle("_Z3fooPZ3fooiE13_Z3fooi.Frame.actor"), "foo(int)");
    EXPECT_EQ(demangle("_Z3fooi.part.0.cold"), "foo(int)");
}

template <class T>
exception_description described(T thrown) {
    return describe_exception(std::make_exception_ptr(std::move(thrown)));
}

TEST(DescribeException, GivesTypeAndTextOfWhateverWasThrown) {
    const auto expect = [](const exception_description& d, std::string_view type, std::string_view text) {
        EXPECT_EQ(d.type, type);
        EXPECT_EQ(d.text, text);
    };
    struct opaque {};
    expect(described(std::runtime_error("broken")), "std::runtime_error", "broken");
    expect(described(std::string("words")), "std::string", "words");
    expect(described(std::string_view("view")), "std::string_view", "view");
    expect(described(static_cast<const char*>("literal")), "char const*", "literal");
    expect(described(42), "int", "42");
    expect(described(-1L), "long", "-1");
    expect(described(true), "bool", "true");
    expect(described(std::make_error_code(std::errc::timed_out)), "std::error_code", "Connection timed out");
    EXPECT_EQ(described(parse_error("derived")).text, "derived");
    EXPECT_TRUE(described(parse_error("derived")).type.ends_with("::parse_error"));
    EXPECT_EQ(described(opaque{}).text, "unknown exception");
    EXPECT_TRUE(described(opaque{}).type.ends_with("opaque"));
    expect(describe_exception(nullptr), "", "no exception");
}

struct left {
    virtual ~left() = default;
    int padding = 1;
};
struct with_a_later_base : left, std::runtime_error {
    with_a_later_base() : std::runtime_error("second base") {}
};

TEST(DescribeException, FindsStdExceptionAmongSeveralBases) {
    EXPECT_EQ(described(with_a_later_base{}).text, "second base");
}

TEST(DescribeException, FollowsNestedExceptionsToTheCause) {
    std::exception_ptr e;
    try {
        try {
            throw std::out_of_range("inner");
        } catch (...) {
            std::throw_with_nested(std::runtime_error("outer"));
        }
    } catch (...) {
        e = std::current_exception();
    }
    const auto d = describe_exception(e);
    EXPECT_EQ(d.type, "std::runtime_error");
    EXPECT_EQ(d.text, "outer; caused by std::out_of_range: inner");
}

} // namespace
