// Starting servers under via names.
#pragma once

#include <genever/otp/child_spec.hpp>
#include <genever/otp/gen_server.hpp>
#include <genever/otp/via_name.hpp>

#include <expected>
#include <string>
#include <utility>

namespace genever {

namespace detail {

template <class S, class... Args>
pid spawn_via(bool linked, monitor_ref ref, const via_name& name, Args&&... args) {
    static_assert(
        std::is_base_of_v<gen_server<S>, S>,
        "genever: the server's type must derive from gen_server of itself: struct S : gen_server<S>");
    static_assert(constructs_from<S, std::decay_t<Args>...> || inits_from<S, std::decay_t<Args>...>,
                  "genever: the server has neither a constructor nor an init for these arguments");
    spawn_options options;
    options.label = name.text();
    const pid me = pid_of(require_process("starting a server"));
    if (linked) {
        options.link = me;
    } else {
        options.watcher = me;
        options.monitor = ref;
    }
    process_birth birth{nullptr};
    launch l{options.label, me, linked ? me : pid{}};
    l.via = name.target();
    return birth.start(server_main<S, std::decay_t<Args>...>(std::move(l), std::forward<Args>(args)...),
                       &options);
}

} // namespace detail

/// As start_link and start by a plain name (gen_server.hpp): the name is the server's before its init runs, and the start
/// fails where another process has it or the registry does not run.
template <class S, class... Args>
task<std::expected<pid, exit_reason>> start_link(via_name name, Args&&... args) {
    return detail::await_start(detail::spawn_via<S>(true, {}, name, std::forward<Args>(args)...), {});
}
template <class S, class... Args>
task<std::expected<pid, exit_reason>> start(via_name name, Args&&... args) {
    const monitor_ref ref = detail::new_monitor_ref();
    return detail::await_start(detail::spawn_via<S>(false, ref, name, std::forward<Args>(args)...), ref);
}

/// A gen_server as a child that is registered by way of a registry. The child's id is the via name's text.
template <class T, class... Args>
child_spec child(via_name name, Args... args) {
    std::string id = name.text();
    return child_spec(std::move(id),
                      [name = std::move(name), args...] { return start_link<T>(name, args...); });
}

} // namespace genever
