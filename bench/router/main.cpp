// What it takes to find a route, and to answer by it, among the 203 of GitHub's REST API. Beside it the same in Go with Gin
// (bench/peers/router/gin); run.py compares the two.
//
//     bench_router ROUTES [SECONDS]
//
// `lookup` is the tree alone: from a path to its route and its parameters, the tree of the method chosen beforehand.
// `dispatch` is the way of a whole request through the router: the method's tree, the lookup, the context, the call of a
// handler that does nothing, and the response emptied for the next one.
//
// Prints one JSON object: nanoseconds for each pass over a row's paths, and how many blocks it took from the heap.
#include "web/route_index.hpp"
#include "web/route_tree.hpp"

#include <genever/http/exchange.hpp>
#include <genever/web/router.hpp>

#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <new>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

using namespace genever;

namespace {
std::uint64_t allocations = 0; // one thread
}
void* operator new(std::size_t size) {
    ++allocations;
    if (void* p = std::malloc(size == 0 ? 1 : size)) return p;
    throw std::bad_alloc{};
}
void operator delete(void* p) noexcept { std::free(p); }
void operator delete(void* p, std::size_t) noexcept { std::free(p); }

namespace {

struct line {
    std::string method_name;
    http::method method;
    std::string pattern;
    std::string path;
};

void check(bool holds, const std::string& what) {
    if (!holds) throw std::runtime_error("the benchmark is wrong: " + what);
}

http::method method_of(const std::string& name) {
    for (std::size_t i = 0; i < http::method_count; ++i)
        if (http::to_string(static_cast<http::method>(i)) == name) return static_cast<http::method>(i);
    throw std::runtime_error("no such method: " + name);
}

std::vector<line> read_routes(const char* file) {
    std::ifstream in{file};
    std::vector<line> all;
    for (std::string text; std::getline(in, text);) {
        if (text.empty() || text.front() == '#') continue;
        line l;
        std::istringstream words{text};
        check(static_cast<bool>(words >> l.method_name >> l.pattern >> l.path), text);
        l.method = method_of(l.method_name);
        all.push_back(std::move(l));
    }
    return all;
}

template <class T>
void keep(const T& value) {
    asm volatile("" : : "r,m"(value) : "memory");
}

/// A request without a connection.
class quiet_exchange final : public http::exchange {
public:
    quiet_exchange() : http::exchange(request_, response_, "192.0.2.7") {}

    void set(const line& l) noexcept {
        request_.method = l.method;
        request_.target = l.path;
        request_.path = l.path;
        request_.query = {};
        response_.clear();
    }

    task<std::expected<std::string_view, http::body_error>> read_body(std::size_t) override {
        co_return std::string_view{};
    }
    task<std::expected<std::string_view, http::body_error>> read_body() override {
        co_return std::string_view{};
    }
    task<std::expected<void, http::send_error>> send_piece(std::string_view) override {
        co_return std::expected<void, http::send_error>{};
    }
    bool head_sent() const noexcept override { return false; }
    void detach() override {}
    bool admit(http::traffic_class&) override { return true; }
    bool admit() override { return true; }

private:
    http::request request_;
    http::response response_;
};

/// The values of a path's parameters, by its pattern.
std::vector<std::string> expected_values(const line& l) {
    std::vector<std::string> values;
    std::istringstream pattern{l.pattern};
    std::istringstream path{l.path};
    for (std::string a, b; std::getline(pattern, a, '/') && std::getline(path, b, '/');)
        if (a.starts_with(':')) values.push_back(b);
    return values;
}

class program {
public:
    explicit program(const char* file) : lines_(read_routes(file)) {
        for (std::size_t i = 0; i < lines_.size(); ++i) {
            const line& l = lines_[i];
            trees_[static_cast<std::size_t>(l.method)].insert(l.pattern, static_cast<std::uint32_t>(i));
            app_.handle(l.method, l.pattern, [](web::context&) {});
        }
        for (std::size_t m = 0; m < http::method_count; ++m)
            indexes_[m] = web::detail::route_index{trees_[m]};
        handler_ = app_;
    }

    /// Each path leads to its own route, with its own values.
    void check_all() {
        web::router echo;
        for (const line& l : lines_)
            echo.handle(l.method, l.pattern,
                        [&l](web::context& c) { c.text(200, l.method_name + " " + l.pattern); });
        const http::handler h = echo;
        for (std::size_t i = 0; i < lines_.size(); ++i) {
            const line& l = lines_[i];
            web::detail::path_params params;
            const auto found = indexes_[static_cast<std::size_t>(l.method)].find(l.path, params);
            check(found == i, "another route for " + l.path);
            const auto values = expected_values(l);
            check(params.size() == values.size(), "parameters of " + l.path);
            for (std::size_t v = 0; v < values.size(); ++v) check(params[v] == values[v], values[v]);
            x_.set(l);
            const task<> done = h(x_);
            check(done.empty() && x_.response.body == l.method_name + " " + l.pattern, l.path);
        }
    }

    std::vector<line> only(std::string_view method, std::string_view pattern) const {
        for (const line& l : lines_)
            if (l.method_name == method && l.pattern == pattern) return {l};
        throw std::runtime_error("no such route");
    }
    const std::vector<line>& all() const noexcept { return lines_; }

    /// One pass of lookups.
    void look_up(const std::vector<line>& which) const {
        for (const line& l : which) {
            web::detail::path_params params;
            const auto found = indexes_[static_cast<std::size_t>(l.method)].find(l.path, params);
            keep(found);
            keep(params);
        }
    }
    void dispatch(const std::vector<line>& which) {
        for (const line& l : which) {
            x_.set(l);
            const task<> done = handler_(x_);
            keep(done);
        }
    }

private:
    std::vector<line> lines_;
    std::array<web::detail::route_tree, http::method_count> trees_;
    std::array<web::detail::route_index, http::method_count> indexes_;
    web::router app_;
    http::handler handler_;
    quiet_exchange x_;
};

/// The time of one pass, in nanoseconds: the best of five stretches.
template <class F>
void measure(const char* name, double seconds, bool last, F pass) {
    using clock = std::chrono::steady_clock;
    const auto stretch = std::chrono::duration<double>{seconds / 5};
    std::uint64_t passes = 1;
    for (;;) { // how many passes fill a stretch
        const auto begin = clock::now();
        for (std::uint64_t i = 0; i < passes; ++i) pass();
        if (clock::now() - begin >= stretch) break;
        passes *= 2;
    }
    double best = 1e300;
    const std::uint64_t before = allocations;
    for (int i = 0; i < 5; ++i) {
        const auto begin = clock::now();
        for (std::uint64_t n = 0; n < passes; ++n) pass();
        const std::chrono::duration<double, std::nano> took = clock::now() - begin;
        best = std::min(best, took.count() / static_cast<double>(passes));
    }
    std::printf(R"("%s":{"ns":%.3f,"allocations":%.6f}%s)", name, best,
                static_cast<double>(allocations - before) / (5.0 * static_cast<double>(passes)),
                last ? "" : ",");
}

} // namespace

int main(int argc, char** argv) {
    try {
        check(argc >= 2, "usage: bench_router ROUTES [SECONDS]");
        const double seconds = argc > 2 ? std::stod(argv[2]) : 1;
        program p{argv[1]};
        p.check_all();
        const auto fixed = p.only("GET", "/user/repos");
        const auto with_one = p.only("GET", "/users/:user/repos");
        const auto with_three = p.only("GET", "/repos/:owner/:repo/issues/:number/comments");
        std::printf("{\"routes\":%zu,", p.all().size());
        measure("lookup_all", seconds, false, [&] { p.look_up(p.all()); });
        measure("lookup_static", seconds, false, [&] { p.look_up(fixed); });
        measure("lookup_1_param", seconds, false, [&] { p.look_up(with_one); });
        measure("lookup_3_params", seconds, false, [&] { p.look_up(with_three); });
        measure("dispatch_all", seconds, false, [&] { p.dispatch(p.all()); });
        measure("dispatch_static", seconds, false, [&] { p.dispatch(fixed); });
        measure("dispatch_1_param", seconds, false, [&] { p.dispatch(with_one); });
        measure("dispatch_3_params", seconds, true, [&] { p.dispatch(with_three); });
        std::printf("}\n");
    } catch (const std::exception& e) {
        std::fprintf(stderr, "%s\n", e.what());
        return 1;
    }
    return 0;
}
