#include <genever/otp/partition_supervisor.hpp>

#include "runtime/runtime_core.hpp"

#include <map>
#include <mutex>
#include <shared_mutex>
#include <vector>

namespace genever {

namespace {

using detail::require_core;

/// How many partitions each name has, for those who route. An entry outlives its supervisor, so that references made
/// during a restart lead to where the child will be.
class partition_table {
public:
    void set(const detail::runtime_core* home, const std::string& name, std::size_t n) {
        std::unique_lock g{lock_};
        counts_[home].insert_or_assign(name, n);
    }
    std::size_t get(const detail::runtime_core* home, std::string_view name) const {
        std::shared_lock g{lock_};
        const auto names = counts_.find(home);
        if (names == counts_.end()) return 0;
        const auto i = names->second.find(name);
        return i == names->second.end() ? 0 : i->second;
    }

private:
    mutable std::shared_mutex lock_;
    std::map<const detail::runtime_core*, std::map<std::string, std::size_t, std::less<>>> counts_;
};

partition_table& the_table() {
    static partition_table table;
    return table;
}

std::string numbered(std::string_view name, std::size_t partition) {
    return std::string{name} + '#' + std::to_string(partition);
}

} // namespace

task<start_result> start_link(partition_supervisor s, std::string name) {
    if (name.empty()) co_return std::unexpected(exit_reason::error("a partition supervisor needs a name"));
    const auto& home = require_core("a partition supervisor");
    const std::size_t n = s.partitions() != 0 ? s.partitions() : home.workers();
    std::vector<child_spec> children;
    for (std::size_t i = 0; i < n; ++i) children.push_back(s.make()(numbered(name, i), i));
    // Before the children start: they may ask for it. A start that is refused changes nothing for the one that has the name.
    const std::size_t before = the_table().get(&home, name);
    the_table().set(&home, name, n);
    supervisor spec{strategy::one_for_one, std::move(children)};
    spec.max_restarts(s.max_restarts()).period(s.period());
    auto starting = start_link(std::move(spec), name);
    auto r = co_await std::move(starting);
    if (!r) the_table().set(&home, name, before);
    co_return r;
}

std::size_t partition_count(std::string_view name) {
    return the_table().get(&require_core("partition_count"), name);
}

std::string detail::name_of_partition(std::string_view name, std::uint64_t key, bool hashed) {
    const std::size_t n = partition_count(name);
    if (n == 0) return {};
    if (hashed) key = key * 0x9E3779B97F4A7C15ULL >> 32; // std::hash of many types is the identity
    return numbered(name, key % n);
}

} // namespace genever
