// Where something happened: the return addresses of a stack, taken in tens of nanoseconds, and their names,
// looked up only when somebody reads them.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <span>
#include <string>
#include <typeinfo>
#include <vector>

namespace genever {

class stack_trace;

namespace detail {
struct stack_walker;
// The stack of the throw of this very object, or null if this thread did not throw it or has since thrown too
// much else. Valid until this thread's next throw.
const stack_trace* find_throw(const void* object) noexcept;
// Records a throw of this object on this thread: see adopt_trace.
void adopt_throw(const void* object, const stack_trace& t) noexcept;
} // namespace detail

/// The return addresses of a stack, innermost first. A value of 200 bytes without any allocation; names are
/// the business of `symbolise` and `to_string`.
///
/// It is taken by following frame pointers, so all code that is to be seen is compiled with
/// `-fno-omit-frame-pointer` (Genever's CMake targets say so). Code without them costs entries, never a
/// fault: the walk reads nothing outside the stack of the current thread, and ends where the chain does.
class stack_trace {
public:
    /// Deeper frames are not recorded.
    static constexpr std::size_t capacity = 24;

    /// No trace.
    constexpr stack_trace() noexcept = default;

    /// The stack of the caller, without its `skip` innermost frames. Any thread. The first call on a thread
    /// asks the system for the bounds of its stack, which allocates, unless `set_thread_stack_bounds` was
    /// called; later ones are async-signal-safe.
    static stack_trace current(std::size_t skip = 0) noexcept;

    /// The stack of the current thread at the point where a signal interrupted it: to be called in the
    /// handler, with the program counter and the frame pointer from its `ucontext_t`. Async-signal-safe on a
    /// thread that has called `set_thread_stack_bounds`, or taken a trace before.
    static stack_trace of_interrupted(const void* program_counter, const void* frame_pointer) noexcept;

    /// The stack of another thread that is blocked in a system call, from its program counter and stack pointer: what
    /// lies between the pointer and `bottom`, the frame of a function further out, is searched for the innermost chain
    /// of frame pointers that leads there; functions without them are left out. Both must lie on the thread's own stack, and
    /// the thread must live; if it goes on meanwhile the trace is of no use.
    static stack_trace of_blocked_thread(const void* program_counter, const void* stack_pointer,
                                         const void* bottom) noexcept;

    bool empty() const noexcept { return size_ == 0; }
    std::size_t size() const noexcept { return size_; }
    /// Lives as long as the trace.
    std::span<void* const> addresses() const noexcept { return {addresses_.data(), size_}; }

    friend bool operator==(const stack_trace& a, const stack_trace& b) noexcept;

private:
    friend struct detail::stack_walker;
    std::size_t size_ = 0;
    std::array<void*, capacity> addresses_{};
};

/// Tells the bounds of the current thread's stack, [lowest, highest), before the first trace: a worker thread
/// that does this never pays for asking the system. The memory stays readable as long as the thread runs.
void set_thread_stack_bounds(const void* lowest, const void* highest) noexcept;

/// The stack of the throw of this exception, or an empty trace: if another thread threw it, if this thread
/// has thrown eight others since, or if it was never thrown (`std::make_exception_ptr`). To rethrow an
/// exception keeps its trace.
stack_trace trace_of(const std::exception_ptr& e) noexcept;

/// For an exception that is handed over from another thread: lets `trace_of(e)` give `t`, which is what it gave there,
/// on the calling thread too.
void adopt_trace(const std::exception_ptr& e, const stack_trace& t) noexcept;

/// `trace_of` for the exception that is being handled, in a `catch` block or in `unhandled_exception`.
stack_trace trace_of_current_exception() noexcept;

/// One function on a stack. An inlined function is a frame of its own, with the address of the one around it.
struct stack_frame {
    std::string function; ///< demangled; `libc.so.6+0x2724a` where no symbol is known
    std::string file;     ///< the source file; without debug information the executable or library
    int line = 0;         ///< from 1; 0 without debug information
    const void* address = nullptr;
};

/// The functions at these return addresses, innermost first, without the leading ones that only throw
/// (`std::__throw_out_of_range_fmt`) and without addresses that belong to no code at all. Any thread; not
/// from a signal handler. The first call reads the program's debug information, which takes time and memory
/// in proportion to its size, and holds up the callers beside it; what was found is remembered. When memory
/// runs out it returns what it has.
std::vector<stack_frame> symbolise(std::span<void* const> addresses) noexcept;

/// The trace as text, one line a frame, without a newline at the end:
/// ```
///   #0 parse_age(std::string_view) at src/person.cpp:12
///   #1 main at src/main.cpp:7
/// ```
/// Without a trace it says so. Any thread. Throws only `std::bad_alloc`.
std::string to_string(const stack_trace& t);

} // namespace genever
