// The rows of bench/runtime in CAF (0.17, Debian 12's): event-based actors. bench/runtime/README.md says what each one
// measures.
//
//   peer ROW WORKERS SECONDS
//
// Prints one JSON object. A row that goes wrong ends the program with exit code 1.

#include <caf/all.hpp>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <future>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

#include <unistd.h>

using namespace caf;

namespace {

using stop_atom = atom_constant<atom("stop")>;
using done_atom = atom_constant<atom("done")>;
using add_atom = atom_constant<atom("add")>;

void check(bool holds, const char* what) {
    if (!holds) throw std::logic_error(std::string{"benchmark is wrong: "} + what);
}

constexpr std::int64_t sum_below(std::int64_t n) { return n * (n - 1) / 2; }

using countdown = std::atomic<std::int64_t>;
using result = std::promise<std::int64_t>;

/// Starts the root actor of a row, waits for its result, and then until all actors have ended. Not by
/// await_all_actors_done alone: a thread that waits there is woken whenever but one actor is left.
template <class... Args>
std::int64_t run(actor_system& system, Args&&... args) {
    result out;
    system.spawn(std::forward<Args>(args)..., &out);
    const std::int64_t value = out.get_future().get();
    system.await_all_actors_done();
    return value;
}

void count_out(event_based_actor* self, countdown& left, const actor& parent) {
    if (left.fetch_sub(1, std::memory_order_acq_rel) == 1) self->send(parent, done_atom::value);
}

// Starts `at_once` actors, each of which does nothing but count itself out, until `total` have been; the last of a wave
// tells.
struct wave_state {
    countdown left{0};
    std::int64_t started = 0;
};

void start_wave(stateful_actor<wave_state>* self, std::int64_t at_once) {
    self->state.left.store(at_once);
    self->state.started += at_once;
    countdown* left = &self->state.left;
    const actor me{self};
    for (std::int64_t i = 0; i < at_once; ++i)
        self->spawn([left, me](event_based_actor* child) { count_out(child, *left, me); });
}

behavior waves(stateful_actor<wave_state>* self, std::int64_t total, std::int64_t at_once, result* out) {
    start_wave(self, at_once);
    return {[=](done_atom) {
        if (self->state.started < total) {
            start_wave(self, at_once);
        } else {
            out->set_value(self->state.left.load());
            self->quit();
        }
    }};
}

void spawn_finish(actor_system& system, std::int64_t n) {
    check(run(system, waves, n, std::int64_t{1'000}) == 0, "not every actor has run");
}

void spawn_finish_bulk(actor_system& system, std::int64_t n) {
    check(run(system, waves, n, n) == 0, "not every actor has run");
}

struct sum_state {
    std::int64_t sum = 0;
    std::int64_t count = 0;
};
using summing_actor = stateful_actor<sum_state>;

void start_replier(summing_actor* self) {
    self->spawn([me = actor{self}, i = self->state.count](event_based_actor* child) { child->send(me, i); });
}

behavior replies(summing_actor* self, std::int64_t n, result* out) {
    start_replier(self);
    return {[=](std::int64_t v) {
        self->state.sum += v;
        if (++self->state.count < n) {
            start_replier(self);
        } else {
            out->set_value(self->state.sum);
            self->quit();
        }
    }};
}

void spawn_reply(actor_system& system, std::int64_t n) {
    check(run(system, replies, n) == sum_below(n), "spawn_reply's sum");
}

behavior pong(event_based_actor* self, const actor& other) {
    return {[=](std::int64_t v) { self->send(other, v + 1); }};
}

behavior ping(event_based_actor* self, std::int64_t n, result* out) {
    const actor other = self->spawn(pong, actor{self});
    self->send(other, std::int64_t{0});
    return {[=](std::int64_t v) {
        if (v < n) {
            self->send(other, v);
        } else {
            out->set_value(v);
            self->send_exit(other, exit_reason::user_shutdown);
            self->quit();
        }
    }};
}

void ping_pong(actor_system& system, std::int64_t n) {
    check(run(system, ping, n) == n, "ping_pong's count");
}

behavior ring_node(event_based_actor* self, const actor& next) {
    return {[=](std::int64_t v) {
        self->send(next, v < 0 ? v : v + 1);
        if (v < 0) self->quit();
    }};
}

behavior ring(event_based_actor* self, std::int64_t hops, result* out) {
    actor next{self};
    for (int i = 1; i < 1'000; ++i) next = self->spawn(ring_node, next);
    self->send(next, std::int64_t{1});
    return {[=](std::int64_t v) {
        if (v < 0) {
            self->quit();
        } else if (v < hops) {
            self->send(next, v + 1);
        } else {
            out->set_value(v);
            self->send(next, std::int64_t{-1});
        }
    }};
}

void ring_1000(actor_system& system, std::int64_t hops) {
    check(run(system, ring, hops) == hops, "the ring's hops");
}

constexpr std::int64_t fan_in_senders = 64;
constexpr std::int64_t fan_in_each = 1'000;

behavior take_all(summing_actor* self, std::int64_t n, result* out) {
    for (std::int64_t s = 0; s < fan_in_senders; ++s)
        self->spawn([me = actor{self}, s](event_based_actor* sender) {
            for (std::int64_t i = 0; i < fan_in_each; ++i) sender->send(me, s * fan_in_each + i);
        });
    return {[=](std::int64_t v) {
        self->state.sum += v;
        if (++self->state.count == n) {
            out->set_value(self->state.sum);
            self->quit();
        }
    }};
}

void mailbox_fan_in(actor_system& system, std::int64_t n) {
    check(run(system, take_all, n) == sum_below(n), "mailbox_fan_in's sum");
}

behavior adder(summing_actor* self) {
    return {[=](add_atom, std::int64_t by) { return self->state.sum += by; }};
}

void call_again(event_based_actor* self, const actor& server, std::int64_t n, result* out) {
    self->request(server, infinite, add_atom::value, std::int64_t{1}).await([=](std::int64_t total) {
        if (total < n) {
            call_again(self, server, n, out);
        } else {
            out->set_value(total);
            self->send_exit(server, exit_reason::user_shutdown);
        }
    });
}

void caller(event_based_actor* self, std::int64_t n, result* out) {
    call_again(self, self->spawn(adder), n, out);
}

void call_round_trip(actor_system& system, std::int64_t n) {
    check(run(system, caller, n) == n, "call_round_trip's total");
}

behavior skynet(summing_actor* self, const actor& parent, std::int64_t number, std::int64_t leaves) {
    if (leaves == 1) {
        self->send(parent, number);
        return {};
    }
    const actor me{self};
    for (std::int64_t i = 0; i < 10; ++i) self->spawn(skynet, me, number + i * (leaves / 10), leaves / 10);
    return {[=](std::int64_t v) {
        self->state.sum += v;
        if (++self->state.count == 10) {
            self->send(parent, self->state.sum);
            self->quit();
        }
    }};
}

constexpr std::int64_t million = 1'000'000;

behavior skynet_root(event_based_actor* self, result* out) {
    self->spawn(skynet, actor{self}, std::int64_t{0}, million);
    return {[=](std::int64_t v) {
        out->set_value(v);
        self->quit();
    }};
}

void skynet_1m(actor_system& system, std::int64_t n) {
    check(n == 1'111'111, "there is one size of skynet_1m");
    check(run(system, skynet_root) == sum_below(million), "skynet's sum");
}

std::int64_t resident_bytes() {
    long long size = 0;
    long long resident = 0;
    std::FILE* f = std::fopen("/proc/self/statm", "r");
    check(f && std::fscanf(f, "%lld %lld", &size, &resident) == 2, "/proc/self/statm cannot be read");
    std::fclose(f);
    return resident * sysconf(_SC_PAGESIZE);
}

double nanoseconds_since(std::chrono::steady_clock::time_point t) {
    return std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - t).count();
}

struct parking {
    std::int64_t n;
    countdown left;
    std::vector<actor> parked;
    double took = 0;
    double bytes = 0;
};

behavior park(event_based_actor* self, parking* p, result* out) {
    const std::int64_t before = resident_bytes();
    const auto begin = std::chrono::steady_clock::now();
    const actor me{self};
    for (actor& a : p->parked)
        a = self->spawn([p, me](event_based_actor* child) -> behavior {
            count_out(child, p->left, me);
            return {[child](stop_atom) { child->quit(); }};
        });
    return {[=](done_atom) {
        p->took = nanoseconds_since(begin);
        p->bytes = static_cast<double>(resident_bytes() - before);
        for (const actor& a : p->parked) self->send(a, stop_atom::value);
        p->parked.clear();
        out->set_value(p->left.load());
        self->quit();
    }};
}

void spawn_park(actor_system& system, parking& p) {
    p.left.store(p.n);
    p.parked.resize(static_cast<std::size_t>(p.n));
    check(run(system, park, &p) == 0, "not every actor was parked");
}

struct row {
    void (*run)(actor_system&, std::int64_t);
    std::int64_t batch;
};

const std::map<std::string, row> rows{
    {"spawn_finish", {spawn_finish, 200'000}},
    {"spawn_finish_bulk", {spawn_finish_bulk, 100'000}},
    {"spawn_reply", {spawn_reply, 200'000}},
    {"ping_pong", {ping_pong, 200'000}},
    {"ring_1000", {ring_1000, 400'000}},
    {"mailbox_fan_in", {mailbox_fan_in, fan_in_senders* fan_in_each}},
    {"call_round_trip", {call_round_trip, 200'000}},
    {"skynet_1m", {skynet_1m, 1'111'111}},
};

/// Repeats a batch until `seconds` have passed; the mean time of an operation.
double repeat(actor_system& system, const row& r, double seconds, std::int64_t& operations) {
    operations = 0;
    const auto begin = std::chrono::steady_clock::now();
    double took = 0;
    while ((took = nanoseconds_since(begin)) < seconds * 1e9) {
        r.run(system, r.batch);
        operations += r.batch;
    }
    return took / static_cast<double>(operations);
}

void print(const std::string& name, unsigned workers, double ns, std::int64_t operations,
           const std::string& more) {
    std::printf(
        "{\"row\":\"%s\",\"workers\":%u,\"ns\":%.3f,\"operations\":%lld,\"version\":\"CAF %d.%d.%d\"%s}\n",
        name.c_str(), workers, ns, static_cast<long long>(operations), CAF_MAJOR_VERSION, CAF_MINOR_VERSION,
        CAF_PATCH_VERSION, more.c_str());
}

} // namespace

int main(int argc, char** argv) {
    if (argc != 4) {
        std::fprintf(stderr, "usage: %s ROW WORKERS SECONDS\n", argv[0]);
        return 2;
    }
    try {
        const std::string name = argv[1];
        const auto workers = static_cast<unsigned>(std::strtoul(argv[2], nullptr, 10));
        const double seconds = std::strtod(argv[3], nullptr);
        actor_system_config config;
        config.set("scheduler.max-threads", workers);
        // A thief of CAF 0.17 walks through the whole queue that it steals from: with one long queue on two workers the
        // other scheduling policy is several times faster, everywhere else the default is.
        if (workers > 1 && (name == "spawn_finish_bulk" || name == "spawn_park"))
            config.set("scheduler.policy", atom("sharing"));
        actor_system system{config};
        check(system.scheduler().num_workers() == workers, "the number of workers is another");
        std::int64_t operations = 0;
        if (name == "spawn_park") {
            parking p{million, {0}, {}};
            spawn_park(system, p);
            const auto n = static_cast<double>(p.n);
            print(name, workers, p.took / n, p.n, ",\"bytes\":" + std::to_string(p.bytes / n));
        } else {
            const row& r = rows.at(name);
            repeat(system, r, seconds / 5, operations);
            const double ns = repeat(system, r, seconds, operations);
            print(name, workers, ns, operations, "");
        }
    } catch (const std::exception& e) {
        std::fprintf(stderr, "%s: %s\n", argv[0], e.what());
        return 1;
    }
    return 0;
}
