// Messages between processes: to and fro, around a ring, from many to one.

#include "harness.hpp"

#include <genever/runtime/receive.hpp>

using namespace genever;

namespace {

task<> ping_pong(std::int64_t round_trips) {
    const pid me = self();
    const pid other = spawn([me, round_trips]() -> task<> {
        for (std::int64_t i = 0; i < round_trips; ++i) {
            const std::int64_t v = co_await receive([](std::int64_t v) { return v; });
            send(me, v + 1);
        }
    });
    std::int64_t v = 0;
    for (std::int64_t i = 0; i < round_trips; ++i) {
        send(other, v);
        v = co_await receive([](std::int64_t v) { return v; });
    }
    bench::check(v == round_trips, "ping_pong's count");
}

/// Passes a number on, one higher. A negative one goes around once more and ends the ring.
task<> ring_node(pid next) {
    for (;;) {
        const std::int64_t v = co_await receive([](std::int64_t v) { return v; });
        send(next, v < 0 ? v : v + 1);
        if (v < 0) co_return;
    }
}

task<> ring_1000(std::int64_t hops) {
    constexpr std::int64_t size = 1'000;
    pid next = self();
    for (std::int64_t i = 1; i < size; ++i) next = spawn(ring_node, next);
    std::int64_t v = 0;
    while (v < hops) {
        send(next, v + 1);
        v = co_await receive([](std::int64_t v) { return v; });
    }
    bench::check(v == hops, "the ring's hops");
    send(next, std::int64_t{-1});
    v = co_await receive([](std::int64_t v) { return v; });
    bench::check(v == -1, "the ring's end");
}

constexpr std::int64_t fan_in_senders = 64;
constexpr std::int64_t fan_in_each = 1'000;

task<> mailbox_fan_in(std::int64_t messages) {
    const pid me = self();
    for (std::int64_t s = 0; s < fan_in_senders; ++s)
        spawn([me, s] {
            for (std::int64_t i = 0; i < fan_in_each; ++i) send(me, s * fan_in_each + i);
        });
    std::int64_t sum = 0;
    for (std::int64_t i = 0; i < messages; ++i) {
        const std::int64_t v = co_await receive([](std::int64_t v) { return v; });
        sum += v;
    }
    bench::check(sum == bench::sum_below(messages), "mailbox_fan_in's sum");
}

} // namespace

void bench::add_messages() {
    add("ping_pong", ping_pong, 200'000);
    add("ring_1000", ring_1000, 400'000);
    add("mailbox_fan_in", mailbox_fan_in, fan_in_senders * fan_in_each);
}
