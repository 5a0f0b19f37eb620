#include <genever/otp/partition_supervisor.hpp>

#include "runtime/runtime_core.hpp"

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <utility>
#include <vector>

namespace genever {

namespace {

using detail::require_core;

/// How many partitions each name has in one runtime, for those who route. An entry outlives its supervisor, so that
/// references made during a restart lead to where the child will be.
class partition_table {
public:
    /// A start has taken the name; its number.
    std::uint64_t begin(const std::string& name, std::size_t n) {
        std::unique_lock g{lock_};
        entry& e = entries_[name];
        e.count = n;
        return e.start = ++last_start_;
    }
    /// That start is over. One that has failed leaves what was before it, unless another has taken the name since.
    void end(std::string_view name, std::uint64_t start, bool succeeded) {
        std::unique_lock g{lock_};
        entry& e = entries_.find(name)->second;
        if (e.start != start) return;
        (succeeded ? e.settled : e.count) = succeeded ? e.count : e.settled;
    }
    std::size_t get(std::string_view name) const {
        std::shared_lock g{lock_};
        const auto i = entries_.find(name);
        return i == entries_.end() ? 0 : i->second.count;
    }

private:
    struct entry {
        std::size_t count = 0;   // as the last start has it
        std::size_t settled = 0; // as the last one that succeeded had it
        std::uint64_t start = 0;
    };
    mutable std::shared_mutex lock_;
    std::map<std::string, entry, std::less<>> entries_;
    std::uint64_t last_start_ = 0;
};

child_spec copy_with_start(const child_spec& c, std::function<task<start_result>()> start) {
    child_spec copy{c.name(), std::move(start)};
    copy.restart(c.restart()).type(c.type()).significant(c.is_significant());
    if (c.is_brutal())
        copy.shutdown(brutal_kill);
    else
        copy.shutdown(c.shutdown_limit());
    return copy;
}

std::string numbered(std::string_view name, std::size_t partition) {
    return std::string{name} + '#' + std::to_string(partition);
}

} // namespace

task<start_result> start_link(partition_supervisor s, std::string name) {
    if (name.empty()) co_return std::unexpected(exit_reason::error("a partition supervisor needs a name"));
    auto& home = require_core("a partition supervisor");
    auto& table = home.attached<partition_table>();
    const std::size_t n = s.partitions() != 0 ? s.partitions() : home.workers();
    std::vector<child_spec> children;
    for (std::size_t i = 0; i < n; ++i) children.push_back(s.make()(numbered(name, i), i));
    // Before the first child starts, since they may ask for it, and not before the name is taken: a start that is refused
    // changes nothing for the one that has the name.
    struct counting {
        partition_table& table;
        std::string name;
        std::size_t partitions;
        std::uint64_t start = 0; // none yet
    };
    auto count = std::make_shared<counting>(counting{table, name, n});
    if (child_spec& first = children.front(); first.start()) // else it is refused
        first = copy_with_start(first, [count, start = first.start()] {
            if (count->start == 0) count->start = count->table.begin(count->name, count->partitions);
            return start();
        });
    supervisor spec{strategy::one_for_one, std::move(children)};
    spec.max_restarts(s.max_restarts()).period(s.period());
    auto starting = start_link(std::move(spec), name);
    auto r = co_await std::move(starting);
    if (count->start != 0) table.end(name, count->start, r.has_value());
    co_return r;
}

std::size_t partition_count(std::string_view name) {
    return require_core("partition_count").attached<partition_table>().get(name);
}

std::string detail::name_of_partition(std::string_view name, std::uint64_t key, bool hashed) {
    const std::size_t n = partition_count(name);
    if (n == 0) return {};
    if (hashed) key = key * 0x9E3779B97F4A7C15ULL >> 32; // std::hash of many types is the identity
    return numbered(name, key % n);
}

} // namespace genever
