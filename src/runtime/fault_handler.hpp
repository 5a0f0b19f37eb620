// The handlers of SIGSEGV, SIGBUS and SIGFPE: they turn a fault in a process's own code into an exception, or let it take
// the way that it would have taken without them.
//
//     fault ──▶ handler, on the thread's alternate stack
//                 │  Would an exception from here be caught inside this process? Asked of the unwinder's tables,
//                 │  frame by frame; nothing is changed by asking.
//                 ├─ yes: leave the registers in a `fault_frame` below the process's stack, return into
//                 │       `genever_fault_landing` there, which throws as if the faulting instruction had called it
//                 └─ no:  the handler from before; where there was none, say why on stderr, and let the
//                         instruction fault again with the default action, which ends the program
//
// A fault inside the handler ends the program: the signals are blocked there.
#pragma once

#include <cstddef>

namespace genever::detail {

/// The handlers are installed as long as one of these lives: the first one installs them, the last one puts back what was
/// there (unless somebody has installed others since).
class fault_handlers {
public:
    fault_handlers() noexcept;
    ~fault_handlers();
    fault_handlers(const fault_handlers&) = delete;
    fault_handlers& operator=(const fault_handlers&) = delete;
};

/// The calling thread handles signals on a stack of their own for a scope, so that one is handled even where the
/// thread's own stack has run out. Does nothing where the thread has such a stack already, or there is no memory.
class alternate_stack {
public:
    alternate_stack() noexcept;
    ~alternate_stack();
    alternate_stack(const alternate_stack&) = delete;
    alternate_stack& operator=(const alternate_stack&) = delete;

private:
    void* memory_ = nullptr;
};

} // namespace genever::detail
