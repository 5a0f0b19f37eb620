// A fault of the processor in a server is a crash like any other.
#include <genever/runtime/hardware_fault.hpp>

#include "supervisor_test_support.hpp"

#include <genever/base/stack_trace.hpp>

#include <memory>

using namespace genever;
using namespace genever::test;
using namespace std::chrono_literals;

namespace {

int* volatile nothing = nullptr;
volatile int zero = 0;

struct record {
    int inits = 0;
    int faulty_inits = 0;
    int destroyed = 0;
};

struct faulty : gen_server<faulty> {
    struct read_nothing {};
    struct divide_by_zero {
        using reply = int;
    };
    struct count {
        using reply = int;
    };

    explicit faulty(std::shared_ptr<record> r) : record_(std::move(r)) {}
    ~faulty() { ++record_->destroyed; }

    void init() {
        ++record_->inits;
        if (record_->faulty_inits > 0) {
            --record_->faulty_inits;
            count_ = *nothing;
        }
    }
    void handle(read_nothing) { count_ = *nothing; }
    task<int> handle(divide_by_zero) {
        co_await sleep_for(1ms);
        co_return 100 / zero;
    }
    int handle(count) { return ++count_; }

private:
    std::shared_ptr<record> record_;
    int count_ = 0;
};

} // namespace

TEST(HardwareFaultInAServer, EndsTheServerAloneAndItsSupervisorRestartsIt) {
    if (!hardware_faults_are_exceptions()) GTEST_SKIP() << "faults are not exceptions in this build";
    under_seeds([](simulation& sim) {
        const auto r = std::make_shared<record>();
        const auto s = std::make_shared<script>();
        sim.run([r, s]() -> task<> {
            supervisor spec{strategy::one_for_one, {child<faulty>("faulty", r), a_probe(s, "neighbour")}};
            const pid sup = co_await up(spec);
            const server_ref<faulty> server{"faulty"};
            int n = co_await server.call<faulty::count>();
            n = co_await server.call<faulty::count>();
            EXPECT_EQ(n, 2);
            server.cast(faulty::read_nothing{});
            co_await sleep_for(1s);
            n = co_await server.call<faulty::count>();
            EXPECT_EQ(n, 1); // a new one
            const auto answer = co_await server.try_call<faulty::divide_by_zero>();
            EXPECT_FALSE(answer);
            co_await sleep_for(1s);
            n = co_await server.call<faulty::count>();
            EXPECT_EQ(n, 1);
            n = co_await server_ref<probe>{"neighbour"}.call<probe::count>();
            co_await stop(sup);
        });
        EXPECT_EQ(r->inits, 3);
        EXPECT_EQ(r->destroyed, 3);
        EXPECT_EQ(s->events, (names{"+neighbour", "-neighbour"}));
    });
}

TEST(HardwareFaultInAServer, InItsInitIsAFailedStartWithTheFaultAsItsReason) {
    if (!hardware_faults_are_exceptions()) GTEST_SKIP() << "faults are not exceptions in this build";
    under_seeds([](simulation& sim) {
        const auto r = std::make_shared<record>();
        sim.run([r]() -> task<> {
            r->faulty_inits = 1;
            const pid sup = co_await up(supervisor{strategy::one_for_one, {}});
            const supervisor_ref top{sup};
            auto failed = co_await top.start_child(child<faulty>("faulty", r));
            EXPECT_FALSE(failed);
            EXPECT_EQ(failed.error().reason.type(), "genever::hardware_fault");
            EXPECT_TRUE(failed.error().reason.trace());
            EXPECT_EQ(whereis("faulty"), pid{});
            auto started = co_await top.start_child(child<faulty>("faulty", r));
            EXPECT_TRUE(started);
            r->faulty_inits = 1; // the first restart fails; the supervisor tries again
            const server_ref<faulty> server{"faulty"};
            server.cast(faulty::read_nothing{});
            co_await sleep_for(1s);
            const int n = co_await server.call<faulty::count>();
            EXPECT_EQ(n, 1);
            co_await stop(sup);
        });
        EXPECT_EQ(r->destroyed, 4);
        EXPECT_EQ(r->inits, 4);
    });
}
