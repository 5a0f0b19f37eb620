// The outside of dynamic supervisors.
#include <genever/otp/dynamic_supervisor.hpp>

#include "dynamic_supervisor_process.hpp"

#include <genever/runtime/process.hpp>

namespace genever {

using detail::dynamic_supervisor_process;

task<start_result> start_link(dynamic_supervisor s, std::string name) {
    std::string registered = name;
    return start_link<dynamic_supervisor_process>(std::move(registered), s, std::move(name));
}

genever::pid dynamic_supervisor_ref::pid() const { return name_.empty() ? pid_ : whereis(name_); }

namespace {

template <class M>
task<typename M::reply> ask(std::string name, pid p, M message, duration timeout) {
    const auto to = name.empty() ? server_ref<dynamic_supervisor_process>{p}
                                 : server_ref<dynamic_supervisor_process>{std::move(name)};
    co_return co_await to.call(message, timeout);
}

} // namespace

task<std::expected<genever::pid, child_error>> dynamic_supervisor_ref::start_child(child_spec c,
                                                                                   duration timeout) const {
    return ask(name_, pid_, dynamic_supervisor_process::start_child{std::move(c)}, timeout);
}

task<std::expected<void, child_error>> dynamic_supervisor_ref::terminate_child(genever::pid child,
                                                                               duration timeout) const {
    return ask(name_, pid_, dynamic_supervisor_process::terminate_child{child}, timeout);
}

task<std::vector<child_info>> dynamic_supervisor_ref::which_children(duration timeout) const {
    auto asked = ask(name_, pid_, dynamic_supervisor_process::which_children{}, timeout);
    auto r = co_await std::move(asked);
    co_return std::move(r.children);
}

task<child_counts> dynamic_supervisor_ref::count_children(duration timeout) const {
    return ask(name_, pid_, dynamic_supervisor_process::count_children{}, timeout);
}

} // namespace genever
