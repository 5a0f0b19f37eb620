#include <genever/otp/application.hpp>

#include "end_process.hpp"

#include <genever/base/log.hpp>
#include <genever/otp/gen_server.hpp>
#include <genever/otp/server_ref.hpp>

#include <algorithm>
#include <stdexcept>
#include <unordered_map>

namespace genever {

std::string_view to_string(application_type t) noexcept {
    switch (t) {
    case application_type::permanent: return "permanent";
    case application_type::transient: return "transient";
    case application_type::temporary: return "temporary";
    }
    return "unknown";
}

namespace {

/// Depth first: each after its dependencies.
class sorter {
public:
    explicit sorter(std::vector<application>& all) : all_(all), states_(all.size(), state::unseen) {
        for (std::size_t i = 0; i < all.size(); ++i) {
            if (all[i].name().empty()) throw std::invalid_argument("genever: an application has no name");
            if (!by_name_.emplace(all[i].name(), i).second)
                throw std::invalid_argument("genever: two applications are named " + all[i].name());
        }
    }
    std::vector<application> sorted() {
        std::vector<application> result;
        for (std::size_t i = 0; i < all_.size(); ++i) visit(i);
        for (const std::size_t i : order_) result.push_back(std::move(all_[i]));
        return result;
    }

private:
    enum class state : std::uint8_t { unseen, under_way, done };

    void visit(std::size_t i) {
        if (states_[i] == state::done) return;
        path_.push_back(all_[i].name());
        if (states_[i] == state::under_way) {
            std::string circle;
            for (auto at = std::ranges::find(path_, all_[i].name()); at != path_.end(); ++at)
                (circle += circle.empty() ? "" : " -> ") += *at;
            throw std::invalid_argument("genever: applications depend on each other in a circle: " + circle);
        }
        states_[i] = state::under_way;
        for (const std::string& name : all_[i].dependencies()) {
            const auto other = by_name_.find(name);
            if (other == by_name_.end())
                throw std::invalid_argument("genever: the application " + all_[i].name() + " depends on " +
                                            name + ", which is not there");
            visit(other->second);
        }
        states_[i] = state::done;
        path_.pop_back();
        order_.push_back(i);
    }

    std::vector<application>& all_;
    std::vector<state> states_;
    std::unordered_map<std::string, std::size_t> by_name_;
    std::vector<std::string> path_;
    std::vector<std::size_t> order_;
};

class application_controller : public gen_server<application_controller> {
public:
    struct which {
        using reply = std::vector<std::string>;
    };

    explicit application_controller(applications all) : all_(std::move(all)) {}

    task<> init() {
        trap_exit(true);
        for (const application& a : all_.in_order())
            for (const auto& [key, text] : a.settings()) detail::store_env(a.name(), key, text, true);
        for (const application& a : all_.in_order()) {
            start_result r = pid{};
            if (a.top()) {
                auto starting = start_link(*a.top(), a.name());
                r = co_await std::move(starting);
            }
            if (!r) {
                const std::string text =
                    "the application " + a.name() + " could not be started: " + to_string(r.error());
                co_await stop_all();
                stop(exit_reason::shutdown(text));
                co_return;
            }
            running_.push_back({&a, *r});
        }
    }
    task<> terminate(const exit_reason&) { return stop_all(); }

    void handle(const exit_signal& s) {
        const auto i = std::ranges::find(running_, s.from, &running::top);
        if (i == running_.end()) return; // a stranger's
        const application& a = *i->what;
        running_.erase(i);
        log::write(a.type() == application_type::temporary ? log::level::warning : log::level::error,
                   "the application " + a.name() + " (" + std::string{to_string(a.type())} +
                       ") has ended: " + to_string(s.reason));
        call_stop(a);
        const bool ends_all =
            a.type() == application_type::permanent ||
            (a.type() == application_type::transient && s.reason.kind() != exit_kind::normal);
        if (ends_all) stop(exit_reason::shutdown("the application " + a.name() + " has ended"));
    }
    std::vector<std::string> handle(which) {
        std::vector<std::string> names;
        for (const running& r : running_) names.push_back(r.what->name());
        return names;
    }

private:
    struct running {
        const application* what;
        pid top; // `pid{}`: a library
    };

    task<> stop_all() {
        for (;;) {
            if (running_.empty()) co_return;
            const running r = running_.back();
            running_.pop_back();
            if (r.top) {
                auto ending = detail::end_process(r.top, exit_kind::shutdown, infinity);
                co_await std::move(ending);
            }
            call_stop(*r.what);
        }
    }
    static void call_stop(const application& a) noexcept {
        if (!a.on_stop()) return;
        try {
            a.on_stop()();
        } catch (...) {
            report_crash("on_stop of the application " + a.name(),
                         exit_reason::from_exception(std::current_exception()));
        }
    }

    applications all_;
    std::vector<running> running_;
};

} // namespace

applications::applications(std::vector<application> all) : all_(sorter{all}.sorted()) {}

task<start_result> start_link(applications all, std::string name) {
    return start_link<application_controller>(std::move(name), std::move(all));
}

task<std::vector<std::string>> started_applications(std::string name) {
    const server_ref<application_controller> to{std::move(name)};
    auto r = co_await to.call<application_controller::which>();
    co_return r;
}

int run(applications all, run_options options) {
    std::vector<child_spec> only{child<applications>("applications", std::move(all))};
    supervisor top{strategy::one_for_one, std::move(only)};
    top.max_restarts(0);
    return run(std::move(top), std::move(options));
}

} // namespace genever
