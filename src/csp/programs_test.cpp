// Go's two classic programs of channels: the prime sieve, and M. D. McIlroy's power series ("Squinting at Power Series",
// 1990), as test/chan/sieve1.go, sieve2.go and powser1.go have them.
#include <genever/csp/chan.hpp>
#include <genever/csp/select.hpp>
#include <genever/csp/wait_group.hpp>
#include <genever/runtime/time.hpp>

#include "csp/test_support.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <numeric>
#include <optional>
#include <vector>

using namespace genever;
using genever::test::everywhere;

// ---- the sieve

namespace {

task<> generate(chan<int> out, chan<int> quit) {
    for (int i = 2;; ++i)
        if (co_await select(send(out, i), recv(quit)) == 1) co_return;
}

task<> filter(chan<int> in, chan<int> out, int prime, chan<int> quit) {
    for (;;) {
        std::optional<int> i;
        if (co_await select(recv(in, i), recv(quit)) == 1) co_return;
        if (*i % prime == 0) continue;
        if (co_await select(send(out, *i), recv(quit)) == 1) co_return;
    }
}

constexpr std::array primes{2,  3,  5,  7,  11, 13, 17, 19, 23, 29, 31, 37, 41,
                            43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97};

} // namespace

TEST(Programs, ThePrimeSieve) {
    everywhere([]() -> task<> {
        for (std::size_t capacity : {0, 1, 10}) {
            chan<int> quit;
            wait_group wg;
            chan<int> in(capacity);
            wg.go(generate, in, quit);
            for (int expected : primes) {
                auto prime = co_await in.recv();
                EXPECT_EQ(prime, expected);
                chan<int> out(capacity);
                wg.go(filter, in, out, *prime, quit);
                in = out;
            }
            quit.close();
            co_await wg.wait();
        }
    });
}

// The same without a way to end: the processes are just killed with their runtime.
TEST(Programs, ASieveThatIsAbandonedGoesWithItsRuntime) {
    test::under_seeds([](simulation& sim) {
        sim.run([]() -> task<> {
            chan<int> in;
            go([in]() -> task<> {
                for (int i = 2;; ++i) co_await in.send(i);
            });
            for (int expected : primes) {
                auto prime = co_await in.recv();
                EXPECT_EQ(prime, expected);
                chan<int> out;
                go([in, out, p = *prime]() -> task<> {
                    for (;;) {
                        auto i = co_await in.recv();
                        if (*i % p != 0) co_await out.send(*i);
                    }
                });
                in = out;
            }
        });
    });
}

// ---- power series: a stream of rational coefficients, made on demand

namespace {

struct rational {
    long num = 0;
    long den = 1;

    static rational make(long n, long d) {
        const long g = std::gcd(n, d);
        return d > 0 ? rational{n / g, d / g} : rational{-n / g, -d / g};
    }
    friend rational operator+(rational a, rational b) {
        const long g = std::gcd(a.den, b.den);
        return make(a.num * (b.den / g) + b.num * (a.den / g), a.den / g * b.den);
    }
    friend rational operator*(rational a, rational b) {
        const long g = std::gcd(a.num, b.den);
        const long h = std::gcd(b.num, a.den);
        return make(a.num / (g ? g : 1) * (b.num / (h ? h : 1)), a.den / (h ? h : 1) * (b.den / (g ? g : 1)));
    }
    friend bool operator==(rational, rational) = default;
};

/// A power series: `next` asks it for a coefficient, which comes in `data`. So nothing is computed that nobody wants.
struct series {
    chan<int> next{0};
    chan<rational> data{0};
};

/// The processes of one computation, and the word that it is over.
struct world {
    chan<int> over{0};
    wait_group all;
};

// GCC 12 breaks a coroutine with a result that says `if (co_await x) co_return a; co_return b;`: what is awaited gets a
// name first.

task<bool> wanted(const world& w, const series& out) { // false: it is over
    const auto which = co_await select(recv(out.next), recv(w.over));
    co_return which == 0;
}
task<bool> put(const world& w, const series& out, rational r) {
    const bool more = co_await wanted(w, out);
    if (!more) co_return false;
    const auto which = co_await select(send(out.data, r), recv(w.over));
    co_return which == 0;
}
task<std::optional<rational>> get(const world& w, const series& in) {
    std::optional<rational> r;
    const auto asked = co_await select(send(in.next, 1), recv(w.over));
    if (asked == 1) co_return r;
    co_await select(recv(in.data, r), recv(w.over));
    co_return r;
}

/// 1 / (1 - x): all coefficients 1.
task<> ones(world w, series out) {
    for (;;) {
        const bool more = co_await put(w, out, {1, 1});
        if (!more) co_return;
    }
}
task<> add(world w, series f, series g, series out) {
    for (;;) {
        const bool more = co_await wanted(w, out);
        if (!more) co_return;
        const auto a = co_await get(w, f);
        if (!a) co_return;
        const auto b = co_await get(w, g);
        if (!b) co_return;
        if (co_await select(send(out.data, *a + *b), recv(w.over)) == 1) co_return;
    }
}
/// The integral with a constant.
task<> integrate(world w, series f, rational constant, series out) {
    bool more = co_await put(w, out, constant);
    for (long i = 1;; ++i) {
        if (!more) co_return;
        more = co_await wanted(w, out);
        if (!more) co_return;
        const auto a = co_await get(w, f);
        if (!a) co_return;
        more = co_await select(send(out.data, *a * rational{1, i}), recv(w.over)) == 0;
    }
}
task<> differentiate(world w, series f, series out) {
    const auto constant = co_await get(w, f);
    if (!constant) co_return;
    for (long i = 1;; ++i) {
        const bool more = co_await wanted(w, out);
        if (!more) co_return;
        const auto a = co_await get(w, f);
        if (!a) co_return;
        if (co_await select(send(out.data, *a * rational{i, 1}), recv(w.over)) == 1) co_return;
    }
}
/// The Cauchy product, the terms kept as they come.
task<> multiply(world w, series f, series g, series out) {
    std::vector<rational> fs;
    std::vector<rational> gs;
    for (;;) {
        const bool more = co_await wanted(w, out);
        if (!more) co_return;
        const auto a = co_await get(w, f);
        if (!a) co_return;
        const auto b = co_await get(w, g);
        if (!b) co_return;
        fs.push_back(*a);
        gs.push_back(*b);
        rational sum;
        for (std::size_t i = 0; i < fs.size(); ++i) sum = sum + fs[i] * gs[gs.size() - 1 - i];
        if (co_await select(send(out.data, sum), recv(w.over)) == 1) co_return;
    }
}
/// Copies a series for two readers, who may be any number of terms apart, and one of whom may be what the series is
/// computed from. So it never waits for one thing only; what cannot be just now is nil.
task<> split(world w, series f, series first, series second) {
    struct reader {
        series s;
        std::size_t at = 0;
        bool wants = false;
    };
    std::array<reader, 2> readers{reader{first}, reader{second}};
    std::vector<rational> known;
    bool asked = false;
    for (;;) {
        const auto request = [](const reader& r) { return r.wants ? chan<int>{nil} : r.s.next; };
        const auto delivery = [&](const reader& r) {
            return r.wants && r.at < known.size() ? r.s.data : chan<rational>{nil};
        };
        const auto term = [&](const reader& r) { return r.at < known.size() ? known[r.at] : rational{}; };
        bool short_of = false;
        for (const reader& r : readers) short_of |= r.wants && r.at == known.size();
        const chan<int> request_a = request(readers[0]);
        const chan<int> request_b = request(readers[1]);
        const chan<rational> delivery_a = delivery(readers[0]);
        const chan<rational> delivery_b = delivery(readers[1]);
        const chan<int> ask = short_of && !asked ? f.next : chan<int>{nil};
        const chan<rational> answer = asked ? f.data : chan<rational>{nil};
        std::optional<rational> next;
        switch (co_await select(recv(request_a), recv(request_b), send(delivery_a, term(readers[0])),
                                send(delivery_b, term(readers[1])), send(ask, 1), recv(answer, next),
                                recv(w.over))) {
        case 0: readers[0].wants = true; break;
        case 1: readers[1].wants = true; break;
        case 2:
            readers[0].wants = false;
            ++readers[0].at;
            break;
        case 3:
            readers[1].wants = false;
            ++readers[1].at;
            break;
        case 4: asked = true; break;
        case 5:
            asked = false;
            known.push_back(*next);
            break;
        default: co_return;
        }
    }
}

using terms = std::vector<rational>;

task<> expect_terms(const world& w, const series& s, const terms& expected) {
    for (const rational& e : expected) {
        const auto t = co_await get(w, s);
        EXPECT_EQ(t, e);
    }
}

} // namespace

TEST(Programs, PowerSeries) {
    everywhere([]() -> task<> {
        world w;
        // (Lists of terms have names: GCC 12 refuses an initializer list within a co_await expression.)
        // 1/(1-x) squared is the series of the natural numbers, the derivative of 1/(1-x).
        series one;
        series a;
        series b;
        series product;
        w.all.go(ones, w, one);
        w.all.go(split, w, one, a, b);
        w.all.go(multiply, w, a, b, product);
        const terms naturals{{1, 1}, {2, 1}, {3, 1}, {4, 1}, {5, 1}, {6, 1}};
        co_await expect_terms(w, product, naturals);

        series again;
        series derivative;
        w.all.go(ones, w, again);
        w.all.go(differentiate, w, again, derivative);
        co_await expect_terms(w, derivative, naturals);

        // The integral of 1/(1-x) is -log(1-x): 0, 1, 1/2, 1/3, ...; twice that is the sum with itself.
        series source;
        series logarithm;
        series left;
        series right;
        series twice;
        w.all.go(ones, w, source);
        w.all.go(integrate, w, source, rational{}, logarithm);
        w.all.go(split, w, logarithm, left, right);
        w.all.go(add, w, left, right, twice);
        const terms doubled{{0, 1}, {2, 1}, {1, 1}, {2, 3}, {1, 2}, {2, 5}};
        co_await expect_terms(w, twice, doubled);

        // exp is its own integral with the constant 1: a loop of processes.
        series exp;
        series feedback;
        series out;
        w.all.go(integrate, w, feedback, rational{1, 1}, exp);
        w.all.go(split, w, exp, feedback, out);
        const terms factorials{{1, 1}, {1, 1}, {1, 2}, {1, 6}, {1, 24}, {1, 120}, {1, 720}};
        co_await expect_terms(w, out, factorials);

        w.over.close();
        co_await w.all.wait();
    });
}
