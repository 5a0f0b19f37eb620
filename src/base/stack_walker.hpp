// What stack_trace.cpp and throw_hook.cpp share: taking a trace from a given frame.
#pragma once

#include <genever/base/stack_trace.hpp>

// For functions that read other functions' frames, or run where no instrumented code should.
#define GENEVER_UNSANITISED __attribute__((no_sanitize("address", "thread", "undefined")))

namespace genever::detail {

struct stack_walker {
    // Records the return address of the live frame `frame` of the calling thread, which must have saved its
    // frame pointer, and those of its callers; leaves out the first `skip`.
    static void capture(stack_trace& t, const void* frame, std::size_t skip) noexcept;

    static void start(stack_trace& t) noexcept { t.size_ = 0; }
    static bool full(const stack_trace& t) noexcept { return t.size_ == stack_trace::capacity; }
    static void push(stack_trace& t, std::uintptr_t address) noexcept {
        t.addresses_[t.size_++] = reinterpret_cast<void*>(address);
    }
};

} // namespace genever::detail
