#include <genever/otp/sys.hpp>

#include <genever/base/demangle.hpp>
#include <genever/runtime/process.hpp>

namespace genever::sys {

task<> suspend(pid server, duration timeout) {
    return detail::ask_server<void>(
        {}, server, nullptr, [](detail::server_core& core) { core.genever_suspended = true; }, timeout);
}

task<> resume(pid server, duration timeout) {
    return detail::ask_server<void>(
        {}, server, nullptr, [](detail::server_core& core) { core.genever_suspended = false; }, timeout);
}

task<server_status> get_status(pid server, duration timeout) {
    return detail::ask_server<server_status>(
        {}, server, nullptr,
        [](detail::server_core& core) {
            const detail::server_callbacks& c = *core.genever_callbacks;
            server_status s;
            s.pid = self();
            s.name = core.genever_launch.name;
            s.type = demangle(*c.tag->type);
            s.parent = core.genever_launch.parent;
            s.suspended = core.genever_suspended;
            if (const auto i = info(s.pid)) s.mailbox_length = i->mailbox_length;
            if (c.format_status) s.state = c.format_status(core.genever_server);
            return s;
        },
        timeout);
}

} // namespace genever::sys
