#include "tree.hpp"

#include "rate_limiter.hpp"
#include "siblings.hpp"

#include <genever/genever.hpp>

#include <chrono>

namespace showcase {

using namespace genever;

namespace {

constexpr auto patience = std::chrono::milliseconds{200}; // a child that is busy or down has no state to show

/// One number that a child tells of itself.
struct told_state {
    const char* name = nullptr;
    std::uint64_t value = 0;
};

task<told_state> ask(const std::string& child) {
    told_state told;
    if (child == "rate_limiter") {
        const server_ref<rate_limiter> server{"rate_limiter"};
        if (auto n = co_await server.try_call(rate_limiter::clients{}, patience)) told = {"clients", *n};
    } else if (child == "hit_counter") {
        const server_ref<hit_counter> server{"hit_counter"};
        if (auto n = co_await server.try_call(hit_counter::total{}, patience)) told = {"hits", *n};
    } else if (child == "heartbeat") {
        const server_ref<heartbeat> server{"heartbeat"};
        if (auto n = co_await server.try_call(heartbeat::beats{}, patience)) told = {"beats", *n};
    }
    co_return told;
}

task<boost::json::value> describe(const supervision_node& n) {
    const auto up = std::chrono::duration_cast<std::chrono::milliseconds>(now() - n.started_at);
    boost::json::object o;
    o["name"] = n.name;
    o["type"] = to_string(n.type);
    o["pid"] = to_string(n.pid);
    o["restarts"] = n.restarts;
    o["mailbox"] = n.mailbox_length;
    o["uptime_ms"] = up.count();
    const told_state state = co_await ask(n.name);
    if (state.name) {
        boost::json::object told;
        told[state.name] = state.value;
        o["state"] = std::move(told);
    }
    if (n.type == child_type::supervisor) {
        boost::json::array children;
        for (const supervision_node& c : n.children) children.push_back(co_await describe(c));
        o["children"] = std::move(children);
    }
    co_return boost::json::value(std::move(o));
}

void draw(const supervision_node& n, const std::string& indent, std::string& out) {
    out += indent + n.name + "  " + to_string(n.pid) + '\n';
    for (const supervision_node& c : n.children) draw(c, indent + "  ", out);
}

} // namespace

task<boost::json::value> describe_tree() {
    const supervision_node top = co_await supervision_tree(supervisor_ref{"root"});
    co_return co_await describe(top);
}

task<std::string> draw_tree() {
    const supervision_node top = co_await supervision_tree(supervisor_ref{"root"});
    std::string out;
    draw(top, "  ", out);
    co_return out;
}

} // namespace showcase
