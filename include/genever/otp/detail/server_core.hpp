// What every server has, whatever its type, and how processes with a start-up phase are started.
#pragma once

#include <genever/base/clock.hpp>
#include <genever/base/exit_reason.hpp>
#include <genever/base/pid.hpp>
#include <genever/otp/detail/server_message.hpp>
#include <genever/runtime/message.hpp>
#include <genever/runtime/process.hpp>
#include <genever/runtime/task.hpp>

#include <expected>
#include <memory>
#include <optional>
#include <string>

namespace genever::detail {

/// The optional callbacks of a type of server; null where it has none.
struct server_callbacks {
    const server_tag* tag;
    task<> (*terminate)(void* server, const exit_reason& why);
    task<> (*on_down)(void* server, down&& d);
    task<> (*on_exit)(void* server, exit_signal&& s);
    task<> (*on_idle)(void* server);
    std::string (*format_status)(const void* server);
};

struct via_target;

/// Who started a process and under which name.
struct launch {
    std::string name;
    pid starter;
    pid parent;                                 // the starter if it is linked
    std::shared_ptr<const via_target> via = {}; // where the name is registered; null: in the runtime
};

/// The base of all servers.
struct server_core {
    static constexpr duration no_idle_timeout{-1};

    server_core() noexcept = default;
    server_core(const server_core&) = delete;
    server_core& operator=(const server_core&) = delete;
    ~server_core();

    const server_callbacks* genever_callbacks = nullptr;
    void* genever_server = nullptr;
    launch genever_launch;
    std::optional<exit_reason> genever_stop;
    // Requests let go of while an exception flew: whether it ends the server is known after the handler.
    message_list genever_orphans;
    message_list genever_next;     // handled before what is in the mailbox
    message_list genever_deferred; // exits and downs that have come while it was suspended
    duration genever_idle_after = no_idle_timeout;
    bool genever_suspended = false;
};

/// Gives the calling process its name. False: it is taken.
bool take_name(const launch& l);
/// The same where it was taken: waits, for a while, for one that has it and is on its way out, since its parent has ended.
/// False, and the starter knows, when it is somebody else's.
task<bool> take_name_of_orphan(const launch& l);
/// Tells the starter that the calling process is up.
void acknowledge(const launch& l);
/// Tells the starter that the calling process is about to end without being up. Its name is free again.
void refuse(const launch& l, const exit_reason& why);

/// Handles messages for ever; ends the process.
task<> serve(server_core& core);

/// Waits for `acknowledge` or for the end of a process that the caller has just started. `ref` empty: they are linked.
task<std::expected<pid, exit_reason>> await_start(pid child, monitor_ref ref);

/// Ends the calling process with `why` at once, whether it traps exits or not: frames are destroyed as by a kill.
class exit_now {
public:
    explicit exit_now(exit_reason why) noexcept : why_(std::move(why)) {}
    exit_now(const exit_now&) = delete;
    bool await_ready() const noexcept { return false; }
    template <task_promise_type P>
    void await_suspend(std::coroutine_handle<P> h) {
        suspend(static_cast<process&>(*h.promise().self), h);
    }
    void await_resume() const noexcept {}

private:
    void suspend(process& p, std::coroutine_handle<> h);

    exit_reason why_;
};

} // namespace genever::detail
