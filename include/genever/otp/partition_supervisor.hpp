// Several instances of one child, and a key that chooses among them: for a process that would be a bottleneck.
#pragma once

#include <genever/base/clock.hpp>
#include <genever/otp/child_spec.hpp>
#include <genever/otp/server_ref.hpp>
#include <genever/otp/supervisor.hpp>
#include <genever/runtime/task.hpp>

#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace genever {

/// The description of a partition supervisor, a value, as Elixir's PartitionSupervisor: it starts one child for each
/// partition, named `NAME#0`, `NAME#1`, ..., and supervises them `one_for_one`.
///
///     child<partition_supervisor>("counters", partitioned<counter>(0).partitions(4))
///     partition_of<counter>("counters", user_id).cast(...)
///
/// Children may be anything: with `partitioned<dynamic_supervisor>()` the supervisor of a key's children is
/// `dynamic_supervisor_ref{partition_name("sessions", key)}`.
class partition_supervisor {
public:
    using genever_own_child = void;

    /// Makes the spec of one partition's child: under this name, which must be the spec's.
    using child_maker = std::function<child_spec(std::string name, std::size_t partition)>;

    explicit partition_supervisor(child_maker make) : make_(std::move(make)) {}

    /// How many; 0, unless set: as many as the runtime has workers.
    partition_supervisor& partitions(std::size_t n) & noexcept { return partitions_ = n, *this; }
    partition_supervisor&& partitions(std::size_t n) && noexcept { return std::move(partitions(n)); }
    /// How many restarts within the period are too many if exceeded: 3 within 5 seconds unless set.
    partition_supervisor& max_restarts(unsigned n) & noexcept { return max_restarts_ = n, *this; }
    partition_supervisor&& max_restarts(unsigned n) && noexcept { return std::move(max_restarts(n)); }
    partition_supervisor& period(duration d) & noexcept { return period_ = d, *this; }
    partition_supervisor&& period(duration d) && noexcept { return std::move(period(d)); }

    const child_maker& make() const noexcept { return make_; }
    std::size_t partitions() const noexcept { return partitions_; }
    unsigned max_restarts() const noexcept { return max_restarts_; }
    duration period() const noexcept { return period_; }

private:
    child_maker make_;
    std::size_t partitions_ = 0;
    duration period_ = std::chrono::seconds{5};
    unsigned max_restarts_ = 3;
};

/// One `child<T>(name, args...)` for each partition, from copies of the arguments.
template <class T, class... Args>
partition_supervisor partitioned(Args... args) {
    return partition_supervisor{
        [args...](std::string name, std::size_t) { return child<T>(std::move(name), args...); }};
}

/// Starts a partition supervisor linked to the calling process. It must have a name: an `error` if it is empty.
task<start_result> start_link(partition_supervisor s, std::string name);

/// A partition supervisor as a child: of type supervisor, with an infinite shutdown.
template <std::same_as<partition_supervisor> T>
child_spec child(std::string name, partition_supervisor s) {
    return child_spec(name, [name, s = std::move(s)] { return start_link(s, name); })
        .type(child_type::supervisor)
        .shutdown(infinity);
}

/// How many partitions the partition supervisor of this name has that runs, or ran last, in this runtime; 0: there was none.
/// Callable in processes.
std::size_t partition_count(std::string_view name);

namespace detail {
std::string name_of_partition(std::string_view name, std::uint64_t key, bool hashed);
}

/// The name of the partition that a key leads to, always the same for one key and number of partitions: an integer leads to
/// `abs(key) % partitions`, other keys are hashed. Empty when there never was such a supervisor.
template <class Key>
std::string partition_name(std::string_view name, const Key& key) {
    if constexpr (std::is_integral_v<Key>) {
        // Unsigned: the smallest integer has no counterpart.
        auto k = static_cast<std::uint64_t>(key);
        if constexpr (std::is_signed_v<Key>)
            if (key < 0) k = 0 - k;
        return detail::name_of_partition(name, k, false);
    } else if constexpr (std::is_convertible_v<const Key&, std::string_view>) {
        return detail::name_of_partition(name, std::hash<std::string_view>{}(key), true);
    } else {
        static_assert(std::is_invocable_r_v<std::size_t, std::hash<Key>, const Key&>,
                      "genever: a key that chooses a partition must be an integer, or hashable by std::hash");
        return detail::name_of_partition(name, std::hash<Key>{}(key), true);
    }
}

/// The server of type S in the partition that a key leads to. By its name: it follows restarts. When there never was such a
/// supervisor it leads to nobody: calls fail with `noproc`.
template <class S, class Key>
server_ref<S> partition_of(std::string_view name, const Key& key) {
    std::string found = partition_name(name, key);
    return found.empty() ? server_ref<S>{pid{}} : server_ref<S>{std::move(found)};
}

} // namespace genever
