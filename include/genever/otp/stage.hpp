// Stages: pipelines in which nothing is made before somebody has asked for it.
#pragma once

#include <genever/base/clock.hpp>
#include <genever/base/ordered_table.hpp>
#include <genever/base/pid.hpp>
#include <genever/otp/child_spec.hpp>
#include <genever/otp/gen_server.hpp>
#include <genever/otp/server_ref.hpp>
#include <genever/runtime/task.hpp>

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <iterator>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace genever {

/// What the end of its producer means for a consumer, as in GenStage.
enum class cancel_mode : std::uint8_t {
    permanent, ///< it ends with the same reason
    transient, ///< it ends if the reason is abnormal
    temporary, ///< it stays, without a producer
};

struct stage_options {
    /// How many events a stage has asked for, and not handled yet, at most.
    std::size_t max_demand = 1000;
    /// It asks again when no more than this are left: events are handled in batches of at most max_demand - min_demand. The
    /// default is half of max_demand.
    std::optional<std::size_t> min_demand = {};
    cancel_mode cancel = cancel_mode::permanent;
};

namespace detail {

/// How a stage reaches its producer, whatever the producer's type.
template <class T>
struct upstream {
    std::function<task<pid>(pid consumer, std::function<void(std::vector<T>)> deliver)> subscribe;
    std::function<void(pid producer, pid consumer, std::size_t n)> ask;
};

/// The side of a stage that gives events: who wants how many, and what nobody wants yet.
template <class T>
class outlet {
public:
    struct subscribe {
        genever::pid consumer;
        std::function<void(std::vector<T>)> deliver;
        using reply = bool; // false: it has subscribed already
    };
    struct ask {
        genever::pid consumer;
        std::size_t n;
    };

    bool add(subscribe m) {
        if (consumers_.find(m.consumer)) return false;
        const monitor_ref ref = monitor(m.consumer);
        consumers_.insert(m.consumer, {std::move(m.deliver), 0, ref});
        return true;
    }
    void add_demand(const ask& m) {
        if (auto* c = consumers_.find(m.consumer)) {
            c->demand += m.n;
            demand_ += m.n;
        }
    }
    /// True: it was a consumer's end. What it had asked for is nobody's any more.
    bool remove(const down& d) {
        auto* c = consumers_.find(d.pid);
        if (!c || c->ref != d.ref) return false;
        demand_ -= c->demand;
        consumers_.erase(d.pid);
        return true;
    }
    /// How many events could be given away.
    std::size_t demand() const noexcept { return demand_; }
    void put(std::vector<T> events) {
        std::ranges::move(events, std::back_inserter(buffer_));
        give();
    }
    /// Gives what there is to those who want most.
    void give() {
        for (;;) {
            if (buffer_.empty() || demand_ == 0) return;
            consumer* most = nullptr;
            for (auto& [p, c] : entries())
                if (!most || c->demand > most->demand) most = c;
            const std::size_t n = std::min(most->demand, buffer_.size());
            const auto to = buffer_.begin() + static_cast<std::ptrdiff_t>(n);
            std::vector<T> events(std::make_move_iterator(buffer_.begin()), std::make_move_iterator(to));
            buffer_.erase(buffer_.begin(), to);
            most->demand -= n;
            demand_ -= n;
            most->deliver(std::move(events));
        }
    }

private:
    struct consumer {
        std::function<void(std::vector<T>)> deliver;
        std::size_t demand;
        monitor_ref ref;
    };
    auto entries() {
        std::vector<std::pair<genever::pid, consumer*>> all;
        for (const auto& [p, c] : consumers_) all.emplace_back(p, consumers_.find(p));
        return all;
    }

    ordered_table<genever::pid, consumer> consumers_;
    std::deque<T> buffer_;
    std::size_t demand_ = 0;
};

/// The side that takes events.
template <class T>
class inlet {
public:
    inlet(upstream<T> from, stage_options o) : from_(std::move(from)), options_(o) {
        if (o.max_demand == 0) throw std::invalid_argument("genever: a stage's max_demand is 0");
        min_ = o.min_demand.value_or(o.max_demand / 2);
        if (min_ >= o.max_demand)
            throw std::invalid_argument("genever: a stage's min_demand must be less than its max_demand");
    }
    task<> start(std::function<void(std::vector<T>)> deliver) {
        auto subscribing = from_.subscribe(self(), std::move(deliver));
        producer_ = co_await std::move(subscribing);
        ref_ = monitor(producer_);
    }
    /// Asks for more as long as `wanted` events, those under way included, are not exceeded.
    void fill(std::size_t wanted) {
        wanted = std::min(wanted, options_.max_demand);
        if (wanted <= asked_ || !producer_) return;
        from_.ask(producer_, self(), wanted - asked_);
        asked_ = wanted;
    }
    void handled(std::size_t n) noexcept { asked_ -= std::min(n, asked_); }
    std::size_t asked() const noexcept { return asked_; }
    std::size_t max() const noexcept { return options_.max_demand; }
    std::size_t min() const noexcept { return min_; }
    std::size_t batch() const noexcept { return options_.max_demand - min_; }
    /// Nothing: it was not the producer's end, or the stage stays.
    std::optional<exit_reason> ends(const down& d) {
        if (d.ref != ref_) return {};
        producer_ = {};
        asked_ = 0;
        if (options_.cancel == cancel_mode::permanent ||
            (options_.cancel == cancel_mode::transient && d.reason.abnormal()))
            return d.reason;
        return {};
    }

private:
    upstream<T> from_;
    stage_options options_;
    std::size_t min_;
    std::size_t asked_ = 0;
    pid producer_;
    monitor_ref ref_;
};

/// The next batch off the front of `events`.
template <class T>
std::vector<T> take_batch(std::vector<T>& events, std::size_t& from, std::size_t n) {
    const std::size_t to = std::min(events.size(), from + n);
    std::vector<T> batch(std::make_move_iterator(events.begin() + static_cast<std::ptrdiff_t>(from)),
                         std::make_move_iterator(events.begin() + static_cast<std::ptrdiff_t>(to)));
    from = to;
    return batch;
}

template <class S>
concept polls_again = requires { requires std::convertible_to<decltype(S::poll_again), duration>; };

} // namespace detail

/// A stage that makes events: S has
///
/// * `using event = T;`
/// * `handle_demand(std::size_t n)`, plain or a coroutine, which gives a std::vector<T> of the events there are: `n` at most are
///   asked for; what is more is kept and given first. Fewer: there are no more now. It is called again at the next demand,
///   at a `notify`, and, where S has a `static constexpr duration poll_again`, after that time.
///
/// Each event goes to one consumer, the one that wants most. `child<producer<S>>("jobs", args of S...)`.
template <class S>
class producer : public gen_server<producer<S>> {
public:
    using event = typename S::event;
    using out_event = event;
    using out = detail::outlet<event>;
    struct notify {};
    struct poll_is_due {}; // its own timer's: a notify in between starts no second one

    template <class... Args>
        requires std::is_constructible_v<S, Args...>
    explicit producer(Args... args) : source_(std::move(args)...) {}

    bool handle(typename out::subscribe m) { return out_.add(std::move(m)); }
    task<> handle(typename out::ask m) {
        out_.add_demand(m);
        return serve();
    }
    task<> handle(notify) { return serve(); }
    task<> handle(poll_is_due) {
        polling_ = false;
        return serve();
    }
    void handle(const down& d) { out_.remove(d); }

private:
    using given = std::invoke_result_t<decltype(&S::handle_demand), S&, std::size_t>;
    static_assert(
        std::is_same_v<typename detail::awaited<given>::type, std::vector<event>>,
        "genever: a producer's handle_demand(std::size_t) must return a std::vector of its events, or a "
        "task of it");

    task<> serve() {
        out_.give();
        const std::size_t wanted = out_.demand();
        if (wanted == 0) co_return;
        std::vector<event> events;
        if constexpr (detail::is_task<given>) {
            auto making = source_.handle_demand(wanted);
            events = co_await std::move(making);
        } else {
            events = source_.handle_demand(wanted);
        }
        out_.put(std::move(events));
        if constexpr (detail::polls_again<S>) {
            if (out_.demand() == 0 || polling_) co_return;
            polling_ = true;
            this->send_after(S::poll_again, poll_is_due{});
        }
    }

    S source_;
    out out_;
    bool polling_ = false;
};

/// Tells a producer that there are events again. False when nobody is there.
template <class S>
bool notify_producer(const server_ref<producer<S>>& to) {
    return to.template cast<typename producer<S>::notify>();
}

/// Where a consumer's events come from: `subscribe_to<producer<S>>("jobs")`, or a producer_consumer. By name: whoever has it
/// when the consumer starts. A process subscribes to a stage once (in GenStage as often as it likes): a second subscription
/// throws std::logic_error in that process, and harms nobody else.
template <class Stage>
detail::upstream<typename Stage::out_event> subscribe_to(std::string name) {
    using T = typename Stage::out_event;
    using out = detail::outlet<T>;
    detail::upstream<T> u;
    u.subscribe = [name](pid consumer, std::function<void(std::vector<T>)> deliver) -> task<pid> {
        const pid p = whereis(name); // this one alone: what it gives is asked of it
        const server_ref<Stage> to{p};
        typename out::subscribe m{consumer, std::move(deliver)};
        const bool fresh = co_await to.call(m);
        // Events could not be told apart by the subscription that asked for them.
        if (!fresh)
            throw std::logic_error("genever: this process has subscribed to the stage " + name + " already");
        co_return p;
    };
    u.ask = [](pid p, pid consumer, std::size_t n) {
        server_ref<Stage>{p}.template cast<typename out::ask>(consumer, n);
    };
    return u;
}

/// A stage that takes events: C has
///
/// * `using event = T;`
/// * `handle_events(std::vector<T>)`, plain or a coroutine.
///
///     child<consumer<worker>>("worker", subscribe_to<producer<jobs>>("jobs"), stage_options{.max_demand = 10}, args of C...)
///
/// It asks for no more than it may have. A crash loses the batch that was being handled and what had been delivered: what must
/// not get lost is acknowledged where it is from. When the producer ends it does as `stage_options::cancel` says; under
/// `rest_for_one`, after its producer, both start again.
template <class C>
class consumer : public gen_server<consumer<C>> {
public:
    using event = typename C::event;
    struct events {
        std::vector<event> list;
    };

    template <class... Args>
        requires std::is_constructible_v<C, Args...>
    explicit consumer(detail::upstream<event> from, stage_options options, Args... args)
        : in_(std::move(from), options), consumer_(std::move(args)...) {}

    task<> init() {
        auto starting = in_.start([me = self()](std::vector<event> e) {
            server_ref<consumer>{me}.template cast<events>(std::move(e));
        });
        co_await std::move(starting);
        in_.fill(in_.max());
    }
    task<> handle(events m) {
        for (std::size_t from = 0;;) {
            if (from == m.list.size()) co_return;
            auto batch = detail::take_batch(m.list, from, in_.batch());
            const std::size_t n = batch.size();
            if constexpr (detail::is_task<given>) {
                auto work = consumer_.handle_events(std::move(batch));
                co_await std::move(work);
            } else {
                consumer_.handle_events(std::move(batch));
            }
            in_.handled(n);
            if (in_.asked() <= in_.min()) in_.fill(in_.max());
        }
    }
    void handle(const down& d) {
        if (auto why = in_.ends(d)) this->stop(*std::move(why));
    }

private:
    using given = std::invoke_result_t<decltype(&C::handle_events), C&, std::vector<event>>;
    static_assert(
        std::is_void_v<typename detail::awaited<given>::type>,
        "genever: a consumer's handle_events(std::vector of its events) must return void or task<>");

    detail::inlet<event> in_;
    C consumer_;
};

/// A stage that takes events and gives others: M has
///
/// * `using event = In;` and `using output = Out;`
/// * `handle_events(std::vector<In>)`, plain or a coroutine, which gives a std::vector<Out>: as many as it likes.
///
/// It asks for no more than its own consumers have asked for. Started, and ending, as a consumer.
template <class M>
class producer_consumer : public gen_server<producer_consumer<M>> {
public:
    using event = typename M::event;
    using out_event = typename M::output;
    using out = detail::outlet<out_event>;
    struct events {
        std::vector<event> list;
    };

    template <class... Args>
        requires std::is_constructible_v<M, Args...>
    explicit producer_consumer(detail::upstream<event> from, stage_options options, Args... args)
        : in_(std::move(from), options), middle_(std::move(args)...) {}

    task<> init() {
        return in_.start([me = self()](std::vector<event> e) {
            server_ref<producer_consumer>{me}.template cast<events>(std::move(e));
        });
    }
    bool handle(typename out::subscribe m) { return out_.add(std::move(m)); }
    void handle(typename out::ask m) {
        out_.add_demand(m);
        out_.give();
        in_.fill(out_.demand());
    }
    task<> handle(events m) {
        for (std::size_t from = 0;;) {
            if (from == m.list.size()) co_return;
            auto batch = detail::take_batch(m.list, from, in_.batch());
            const std::size_t n = batch.size();
            if constexpr (detail::is_task<given>) {
                auto work = middle_.handle_events(std::move(batch));
                auto made = co_await std::move(work);
                out_.put(std::move(made));
            } else {
                out_.put(middle_.handle_events(std::move(batch)));
            }
            in_.handled(n);
            in_.fill(out_.demand());
        }
    }
    void handle(const down& d) {
        if (out_.remove(d)) return;
        if (auto why = in_.ends(d)) this->stop(*std::move(why));
    }

private:
    using given = std::invoke_result_t<decltype(&M::handle_events), M&, std::vector<event>>;
    static_assert(std::is_same_v<typename detail::awaited<given>::type, std::vector<out_event>>,
                  "genever: a producer_consumer's handle_events must return a std::vector of its outputs, or "
                  "a task of it");

    detail::inlet<event> in_;
    out out_;
    M middle_;
};

} // namespace genever
