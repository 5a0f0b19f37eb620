#include "tree.hpp"

#include "rate_limiter.hpp"
#include "siblings.hpp"

#include <genever/genever.hpp>

#include <chrono>
#include <string_view>
#include <utility>

namespace showcase {

using namespace genever;

namespace {

constexpr auto patience = std::chrono::milliseconds{200}; // for a child that has much to do

/// One number that a child tells of itself, or why it does not.
struct told_state {
    const char* name = nullptr;
    std::uint64_t value = 0;
    std::string_view instead = "running"; // the status
};

template <class Server, class Question>
task<told_state> ask(pid child, const char* name) {
    const server_ref<Server> server{child};
    const auto n = co_await server.within(patience).template try_call<Question>();
    if (n) co_return told_state{name, *n};
    // It has ended since the tree was looked at, or did not get round to answering.
    const bool busy = n.error().kind() == call_failure::timeout;
    co_return told_state{.instead = busy ? "busy" : "down"};
}

task<told_state> ask(const supervision_node& n) {
    told_state told;
    if (n.name == "rate_limiter")
        told = co_await ask<rate_limiter, rate_limiter::clients>(n.pid, "clients");
    else if (n.name == "hit_counter")
        told = co_await ask<hit_counter, hit_counter::total>(n.pid, "hits");
    else if (n.name == "heartbeat")
        told = co_await ask<heartbeat, heartbeat::beats>(n.pid, "beats");
    co_return told;
}

task<boost::json::value> describe(const supervision_node& n) {
    told_state told;
    if (!n.pid)
        told.instead = n.restarting ? "restarting" : "down";
    else if (n.busy)
        told.instead = "busy";
    else
        told = co_await ask(n);

    boost::json::object o;
    o["name"] = n.name;
    o["type"] = to_string(n.type);
    o["status"] = told.instead;
    o["pid"] = nullptr;
    o["uptime_ms"] = 0;
    const bool up = n.pid && told.instead != "down";
    if (up) o["pid"] = to_string(n.pid);
    const bool since_known =
        !n.busy || n.started_at != time_point{}; // a busy top supervisor has told nothing
    if (up && since_known)
        o["uptime_ms"] = std::chrono::duration_cast<std::chrono::milliseconds>(now() - n.started_at).count();
    o["restarts"] = n.restarts;
    o["mailbox"] = n.mailbox_length;
    if (told.name) {
        boost::json::object state;
        state[told.name] = told.value;
        o["state"] = std::move(state);
    }
    if (n.type == child_type::supervisor) {
        boost::json::array children;
        for (const supervision_node& c : n.children) {
            boost::json::value child = co_await describe(c);
            children.push_back(std::move(child));
        }
        o["children"] = std::move(children);
    }
    co_return boost::json::value(std::move(o));
}

void draw(const supervision_node& n, const std::string& indent, std::string& out) {
    out += indent + n.name + "  " + to_string(n.pid) + '\n';
    for (const supervision_node& c : n.children) draw(c, indent + "  ", out);
}

/// The node of that name below `n`, or null. Notes whether a part of the tree could not be seen.
const supervision_node* search(const supervision_node& n, std::string_view name, bool& unseen) {
    if (n.busy) unseen = true;
    for (const supervision_node& c : n.children) {
        if (c.name == name) return &c;
        if (const supervision_node* found = search(c, name, unseen)) return found;
    }
    return nullptr;
}

} // namespace

task<boost::json::value> describe_tree() {
    const supervision_node top = co_await supervision_tree(supervisor_ref{"root"});
    boost::json::value described = co_await describe(top);
    co_return described;
}

task<std::string> draw_tree() {
    const supervision_node top = co_await supervision_tree(supervisor_ref{"root"});
    std::string out;
    draw(top, "  ", out);
    co_return out;
}

task<found_child> find_child(std::string name) {
    using what = found_child::what;
    const supervision_node root = co_await supervision_tree(supervisor_ref{"root"});
    found_child found;
    bool unseen = root.busy;
    for (const supervision_node& top : root.children) {
        const supervision_node* n = top.name == name ? &top : search(top, name, unseen);
        if (!n) continue;
        found.kind = n->pid ? what::running : what::down;
        found.pid = n->pid;
        found.top = top.name;
        co_return found;
    }
    if (unseen) found.kind = what::busy;
    co_return found;
}

} // namespace showcase
