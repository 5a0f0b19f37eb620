// Calls to many servers at once.
#pragma once

#include <genever/base/clock.hpp>
#include <genever/base/defer.hpp>
#include <genever/otp/gen_server.hpp>
#include <genever/otp/server_ref.hpp>
#include <genever/runtime/task.hpp>

#include <cstddef>
#include <expected>
#include <optional>
#include <stdexcept>
#include <utility>
#include <vector>

namespace genever {

/// What one server has answered, or why it did not.
template <class M>
using multi_result = std::expected<typename M::reply, call_error>;

namespace detail {

/// Asks all of them at the same time, each by a process of its own, and lives no longer than who wants to know.
template <class S, class M>
class multi_caller : public gen_server<multi_caller<S, M>> {
public:
    struct gather {
        using reply = std::vector<multi_result<M>>;
    };
    struct result_of {
        std::size_t index;
        multi_result<M> result;
    };

    multi_caller(std::vector<server_ref<S>> to, M message, duration timeout, pid caller)
        : results_(to.size()), left_(to.size()) {
        monitor(caller);
        const server_ref<multi_caller> me{self()};
        for (std::size_t i = 0; i < to.size(); ++i)
            spawn_link([me, i, timeout, server = std::move(to[i]), message]() -> task<> {
                auto r = co_await server.within(timeout).template try_call<M>(message);
                me.cast(result_of{i, std::move(r)});
            });
    }
    void handle(gather, from<typename gather::reply> f) {
        asked_.emplace(std::move(f));
        answer_when_complete();
    }
    void handle(result_of r) {
        results_[r.index].emplace(std::move(r.result));
        --left_;
        answer_when_complete();
    }
    void handle(const down&) { this->stop(exit_kind::shutdown); } // with those who ask, by their links

private:
    void answer_when_complete() {
        if (left_ > 0 || !asked_) return;
        typename gather::reply all;
        all.reserve(results_.size());
        for (auto& r : results_) all.push_back(std::move(*r));
        asked_->reply(std::move(all));
        this->stop();
    }

    std::vector<std::optional<multi_result<M>>> results_;
    std::size_t left_;
    std::optional<from<typename gather::reply>> asked_;
};

} // namespace detail

/// Sends a copy of the message to each of the servers and waits for all the answers, together no longer than `timeout`. Gives
/// them in the order of the servers; whoever has not answered has its error there. The servers work at the same time.
/// Killed or timed out while it waits, the calls are called off with it; late answers reach nobody.
template <class S, class M>
task<std::vector<multi_result<M>>> multi_call(std::vector<server_ref<S>> servers, M message,
                                              duration timeout = default_call_timeout) {
    static_assert(detail::server_handles_message<S, M>::value);
    static_assert(detail::has_reply<M>, "genever: this message has no `using reply = ...`: use abcast");
    static_assert(std::is_copy_constructible_v<M>, "genever: each server gets a copy of the message");
    using caller = detail::multi_caller<S, M>;
    if (servers.empty()) co_return std::vector<multi_result<M>>{};
    auto starting = start<caller>({}, std::move(servers), std::move(message), timeout, self());
    const auto started = co_await std::move(starting);
    if (!started) throw std::runtime_error("multi_call: " + to_string(started.error()));
    const pid who = *started;
    const defer call_off{[who] { exit(who, exit_kind::killed); }};
    const server_ref<caller> to{who};
    auto all = co_await to.within(infinity).template call<typename caller::gather>();
    co_return all;
}

/// Casts a copy of the message to each of the servers; says how many of them took it.
template <class S, class M>
std::size_t abcast(const std::vector<server_ref<S>>& servers, const M& message) {
    std::size_t taken = 0;
    for (const auto& s : servers) taken += s.cast(message) ? 1 : 0;
    return taken;
}

} // namespace genever
