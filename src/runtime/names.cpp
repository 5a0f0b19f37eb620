// Names of processes, one table a runtime.
#include "runtime_core.hpp"

#include <algorithm>
#include <mutex>

namespace genever {

namespace detail {

bool runtime_core::register_name(std::string_view name, pid p) {
    process* block = find_block(p);
    if (!block || name.empty()) return false;
    std::unique_lock table{names_lock_};
    if (names_.contains(name)) return false;
    names_.emplace(name, p);
    {
        // Either the process's end finds the name in its list, or we find the end.
        spin_guard g{block->lock};
        if (block->generation == p.generation() && is_home_of(*block) && !block->ending) {
            rare_extras_of(*block).names.emplace_back(name);
            return true;
        }
    }
    names_.erase(names_.find(name));
    return false;
}

bool runtime_core::unregister_name(std::string_view name, pid owner) noexcept {
    std::unique_lock table{names_lock_};
    auto i = names_.find(name);
    if (i == names_.end() || (owner && i->second != owner)) return false;
    if (process* block = find_block(i->second)) {
        spin_guard g{block->lock};
        rare_extras* const x = block->generation == i->second.generation() ? existing_rare(*block) : nullptr;
        if (x) std::erase(x->names, name);
    }
    names_.erase(i);
    return true;
}

pid runtime_core::whereis(std::string_view name) const {
    std::shared_lock table{names_lock_};
    auto i = names_.find(name);
    return i == names_.end() ? pid{} : i->second;
}

} // namespace detail

bool register_name(std::string_view name, pid p) {
    return detail::require_core("register_name").register_name(name, p);
}
bool unregister_name(std::string_view name) {
    return detail::require_core("unregister_name").unregister_name(name, {});
}
pid whereis(std::string_view name) {
    detail::thread_state* t = detail::this_thread();
    return t && !t->outside ? t->core->whereis(name) : pid{};
}

} // namespace genever
