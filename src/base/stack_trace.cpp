#include <genever/base/stack_trace.hpp>

#include <genever/base/demangle.hpp>

#include "stack_walker.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <dlfcn.h>
#include <link.h>
#include <mutex>
#include <pthread.h>
#include <string_view>
#include <unordered_map>
#include <unwind.h>

#if __has_include(<backtrace.h>)
#include <backtrace.h>
#else
// The library links with either compiler, but its header lies in GCC's own folder, where Clang does not look.
extern "C" {
struct backtrace_state;
using backtrace_error_callback = void (*)(void* data, const char* message, int error);
using backtrace_full_callback = int (*)(void* data, std::uintptr_t pc, const char* file, int line,
                                        const char* function);
using backtrace_syminfo_callback = void (*)(void* data, std::uintptr_t pc, const char* name,
                                            std::uintptr_t value, std::uintptr_t size);
backtrace_state* backtrace_create_state(const char* file, int threaded, backtrace_error_callback, void* data);
int backtrace_pcinfo(backtrace_state*, std::uintptr_t pc, backtrace_full_callback, backtrace_error_callback,
                     void* data);
int backtrace_syminfo(backtrace_state*, std::uintptr_t pc, backtrace_syminfo_callback,
                      backtrace_error_callback, void* data);
}
#endif

namespace genever {

// ---- taking a trace ----

namespace {

#if defined(__x86_64__)
constexpr int frame_pointer_register = 6; // rbp, in DWARF's numbering
#elif defined(__aarch64__)
constexpr int frame_pointer_register = 29;
#else
#error "Genever runs on x86-64 and aarch64"
#endif

struct address_range {
    std::uintptr_t lowest = 0;
    std::uintptr_t highest = 0; // one past the end

    bool contains(std::uintptr_t a) const noexcept { return a >= lowest && a < highest; }
};

constinit thread_local address_range stack_of_thread;

// The code of the executable or library that this file is linked into: where frame pointers are to be
// expected. Written once, before main.
constinit address_range own_code;

std::uintptr_t to_address(const void* p) noexcept { return reinterpret_cast<std::uintptr_t>(p); }

int find_own_code(dl_phdr_info* module, std::size_t, void*) noexcept {
    for (int i = 0; i < module->dlpi_phnum; ++i) {
        const auto& segment = module->dlpi_phdr[i];
        if (segment.p_type != PT_LOAD || !(segment.p_flags & PF_X)) continue;
        const address_range code{module->dlpi_addr + segment.p_vaddr,
                                 module->dlpi_addr + segment.p_vaddr + segment.p_memsz};
        if (!code.contains(reinterpret_cast<std::uintptr_t>(&find_own_code))) continue;
        own_code = code;
        return 1;
    }
    return 0;
}

[[gnu::constructor]] void prepare() noexcept { dl_iterate_phdr(find_own_code, nullptr); }

[[gnu::noinline, gnu::cold]] void ask_for_stack_bounds() noexcept {
    const int saved = errno; // this happens inside other people's throw expressions
    pthread_attr_t attributes;
    if (pthread_getattr_np(pthread_self(), &attributes) == 0) {
        void* lowest = nullptr;
        std::size_t size = 0;
        if (pthread_attr_getstack(&attributes, &lowest, &size) == 0)
            stack_of_thread = {to_address(lowest), to_address(lowest) + size};
        pthread_attr_destroy(&attributes);
    }
    errno = saved;
}

address_range this_threads_stack() noexcept {
    if (stack_of_thread.highest == 0) ask_for_stack_bounds();
    return stack_of_thread;
}

std::uintptr_t without_signature(std::uintptr_t return_address) noexcept {
#if defined(__aarch64__)
    // strips a pointer authentication code; a no-op on processors without them
    register std::uintptr_t link asm("x30") = return_address;
    asm("hint #7" : "+r"(link)); // xpaclri
    return link;
#else
    return return_address;
#endif
}

// A frame pointer points at the caller's frame pointer, and the return address lies after it, on both
// platforms.
constexpr std::size_t frame_record_size = 2 * sizeof(std::uintptr_t);

bool is_frame_record(std::uintptr_t frame, const address_range& stack) noexcept {
    return stack.contains(frame) && stack.highest - frame >= frame_record_size &&
           frame % alignof(std::uintptr_t) == 0;
}

GENEVER_UNSANITISED void follow_frame_pointers(stack_trace& t, std::uintptr_t frame,
                                               const address_range& stack, std::size_t skip) noexcept {
    // Each frame lies above the one before, so what is read is the live part of this thread's stack, whatever
    // a function without frame pointers kept in the register instead.
    while (is_frame_record(frame, stack) && !detail::stack_walker::full(t)) {
        const auto* record = reinterpret_cast<const std::uintptr_t*>(frame);
        const std::uintptr_t return_address = without_signature(record[1]);
        constexpr std::uintptr_t first_page = 4096;
        if (return_address < first_page) return;
        if (skip > 0)
            --skip;
        else
            detail::stack_walker::push(t, return_address);
        if (record[0] <= frame) return;
        frame = record[0];
    }
}

struct unwinding {
    stack_trace& t;
    std::uintptr_t from; // the first return address to record: the unwinder starts with our own frames
    address_range stack;
    std::size_t skip;
    bool reached = false;
    std::uintptr_t continue_at = 0; // the frame where frame pointers take over
};

GENEVER_UNSANITISED _Unwind_Reason_Code visit_frame(_Unwind_Context* context, void* data) noexcept {
    auto& u = *static_cast<unwinding*>(data);
    int interrupted = 0; // by a signal: the address is an instruction's own, not one after a call
    const std::uintptr_t ip = _Unwind_GetIPInfo(context, &interrupted);
    if (!u.reached && ip != u.from) return _URC_NO_REASON;
    u.reached = true;
    if (ip == 0 || detail::stack_walker::full(u.t)) return _URC_END_OF_STACK;
    if (u.skip > 0)
        --u.skip;
    else
        detail::stack_walker::push(u.t, ip + (interrupted ? 1 : 0));
    if (interrupted || !own_code.contains(ip)) return _URC_NO_REASON;
    const std::uintptr_t frame = _Unwind_GetGR(context, frame_pointer_register);
    if (!is_frame_record(frame, u.stack) || frame < _Unwind_GetCFA(context)) return _URC_NO_REASON;
    u.continue_at = frame;
    return _URC_END_OF_STACK;
}

} // namespace

void detail::stack_walker::capture(stack_trace& t, const void* frame, std::size_t skip) noexcept {
    start(t);
    const address_range stack = this_threads_stack();
    const auto record = to_address(frame);
    const std::uintptr_t return_address = without_signature(static_cast<const std::uintptr_t*>(frame)[1]);
    if (is_frame_record(record, stack) && own_code.contains(return_address)) {
        follow_frame_pointers(t, record, stack, skip);
        return;
    }
    // Called from a library, libstdc++ as a rule, whose functions have no frame pointers: by them alone the
    // most interesting frame, the one that called into the library, would be lost. Or not on this thread's
    // own stack. The unwinder finds its way by tables, far more slowly, until it is back in our own code.
    unwinding u{t, return_address, stack, skip};
    _Unwind_Backtrace(visit_frame, &u);
    if (u.continue_at) follow_frame_pointers(t, u.continue_at, stack, u.skip);
}

[[gnu::noinline]] stack_trace stack_trace::current(std::size_t skip) noexcept {
    stack_trace t;
    detail::stack_walker::capture(t, __builtin_frame_address(0), skip);
    return t;
}

namespace {

// Whether a chain of frame pointers leads from here to the bottom.
GENEVER_UNSANITISED bool leads_to(std::uintptr_t frame, std::uintptr_t bottom) noexcept {
    for (int links = 0; links < 4096; ++links) {
        if (frame == bottom) return true;
        if (frame > bottom || frame % alignof(std::uintptr_t) != 0) return false;
        const std::uintptr_t next = *reinterpret_cast<const std::uintptr_t*>(frame);
        if (next <= frame) return false;
        frame = next;
    }
    return false;
}

// Whether the instruction before this address, in our own code, is a call.
GENEVER_UNSANITISED bool follows_a_call(std::uintptr_t address) noexcept {
    if (!own_code.contains(address) || !own_code.contains(address - 8)) return false;
    const auto* end = reinterpret_cast<const unsigned char*>(address);
#if defined(__x86_64__)
    const auto is_call_of_register = [](unsigned char modrm) { return (modrm & 0x38) == 0x10; }; // FF /2
    return end[-5] == 0xE8 || (end[-2] == 0xFF && is_call_of_register(end[-1])) ||
           (end[-3] == 0xFF && is_call_of_register(end[-2])) ||
           (end[-6] == 0xFF && is_call_of_register(end[-5]));
#else
    std::uint32_t instruction;
    std::memcpy(&instruction, end - 4, sizeof instruction);
    return (instruction & 0xFC000000U) == 0x94000000U ||
           (instruction & 0xFFFFFC1FU) == 0xD63F0000U; // bl, blr
#endif
}

} // namespace

GENEVER_UNSANITISED stack_trace stack_trace::of_blocked_thread(const void* program_counter,
                                                               const void* stack_pointer,
                                                               const void* bottom) noexcept {
    stack_trace t;
    detail::stack_walker::push(t,
                               to_address(program_counter) + 1); // an instruction's own, not one after a call
    const std::uintptr_t end = to_address(bottom);
    std::uintptr_t at = to_address(stack_pointer) / alignof(std::uintptr_t) * alignof(std::uintptr_t);
    for (int looked = 0; at < end && looked < 16384; ++looked, at += alignof(std::uintptr_t)) {
        const std::uintptr_t next = *reinterpret_cast<const std::uintptr_t*>(at);
        // Who called into the library that made the system call: the library keeps no frame pointer.
        if (t.size() == 1 && follows_a_call(without_signature(next)))
            detail::stack_walker::push(t, without_signature(next));
        if (next <= at || next > end || !leads_to(next, end)) continue;
        if (!follows_a_call(without_signature(reinterpret_cast<const std::uintptr_t*>(at)[1]))) continue;
        follow_frame_pointers(t, at, {at, end + frame_record_size}, 0);
        break;
    }
    return t;
}

stack_trace stack_trace::of_interrupted(const void* program_counter, const void* frame_pointer) noexcept {
    stack_trace t;
    const address_range stack = this_threads_stack();
    const auto interrupted_at = to_address(program_counter);
    if (!own_code.contains(interrupted_at)) {
        // in a library, in a system call as a rule: see capture. The unwinder sees through the signal
        // handler.
        unwinding u{t, interrupted_at, stack, 0};
        _Unwind_Backtrace(visit_frame, &u);
        if (u.continue_at) follow_frame_pointers(t, u.continue_at, stack, 0);
        if (!t.empty()) return t;
    }
    // one further on, as if it were a return address, which is what lookups expect
    detail::stack_walker::push(t, interrupted_at + 1);
    follow_frame_pointers(t, to_address(frame_pointer), stack, 0);
    return t;
}

bool operator==(const stack_trace& a, const stack_trace& b) noexcept {
    return std::ranges::equal(a.addresses(), b.addresses());
}

void set_thread_stack_bounds(const void* lowest, const void* highest) noexcept {
    stack_of_thread = {to_address(lowest), to_address(highest)};
}

namespace {

const void* thrown_object(const std::exception_ptr& e) noexcept {
    // libstdc++'s exception_ptr is the address of the thrown object
    static_assert(sizeof e == sizeof(void*));
    const void* object = nullptr;
    std::memcpy(&object, &e, sizeof object);
    return object;
}

} // namespace

stack_trace trace_of(const std::exception_ptr& e) noexcept {
    const stack_trace* found = detail::find_throw(thrown_object(e));
    return found ? *found : stack_trace{};
}

void adopt_trace(const std::exception_ptr& e, const stack_trace& t) noexcept {
    if (const void* object = thrown_object(e)) detail::adopt_throw(object, t);
}

stack_trace trace_of_current_exception() noexcept { return trace_of(std::current_exception()); }

// ---- naming what it holds ----

namespace {

// What is known about one return address: the inlined functions first, then the one they are inlined into.
using frames = std::vector<stack_frame>;

struct lookup {
    frames found;
    const void* address;
    bool out_of_memory = false; // nothing may be thrown through the library, which is C
};

int add_frame(void* data, std::uintptr_t, const char* file, int line, const char* function) noexcept {
    auto& l = *static_cast<lookup*>(data);
    try {
        if (file || function) l.found.push_back({demangle(function), file ? file : "", line, l.address});
        return 0;
    } catch (...) {
        l.out_of_memory = true;
        return 1;
    }
}

void name_function(void* data, std::uintptr_t, const char* name, std::uintptr_t, std::uintptr_t) noexcept {
    auto& l = *static_cast<lookup*>(data);
    try {
        if (name) l.found.back().function = demangle(name);
    } catch (...) {
        l.out_of_memory = true;
    }
}

// The library has many ways to say that a program has no debug information; the next source is asked then.
void ignore_error(void*, const char*, int) noexcept {}

std::string module_and_offset(const Dl_info& module, const void* address) {
    const std::string_view path = module.dli_fname ? module.dli_fname : "?";
    std::array<char, 24> offset{};
    std::snprintf(offset.data(), offset.size(), "+0x%zx", to_address(address) - to_address(module.dli_fbase));
    return std::string{path.substr(path.rfind('/') + 1)} + offset.data();
}

class symboliser {
public:
    // The reference holds until the next call.
    const frames& operator()(const void* address) {
        if (const auto known = known_.find(address); known != known_.end()) return known->second;
        constexpr std::size_t most_known = 16384; // a program has few places that crash; this is a safeguard
        if (known_.size() >= most_known) known_.clear();
        return known_.emplace(address, look_up(address)).first->second;
    }

    std::mutex mutex; // over every call

private:
    frames look_up(const void* address) {
        lookup l{{}, address};
        Dl_info module{};
        const bool in_a_module = dladdr(address, &module) != 0;

        const std::uintptr_t call = to_address(address) - 1; // within the call instruction before it
        if (state_) backtrace_pcinfo(state_, call, add_frame, ignore_error, &l);
        if (l.out_of_memory) throw std::bad_alloc{};
        if (l.found.empty()) l.found.push_back({{}, module.dli_fname ? module.dli_fname : "", 0, address});

        // for a function with internal linkage, debug information has its bare name only (`operator()`, say);
        // the symbol table has the full one
        if (state_) backtrace_syminfo(state_, call, name_function, ignore_error, &l);
        if (l.out_of_memory) throw std::bad_alloc{};

        stack_frame& outermost = l.found.back();
        if (outermost.function.empty() && module.dli_sname) outermost.function = demangle(module.dli_sname);
        // neither a module nor a function: a stray value that the walk took for a return address
        if (outermost.function.empty() && !in_a_module) l.found.pop_back();
        for (stack_frame& f : l.found)
            if (f.function.empty()) f.function = module_and_offset(module, address);
        return std::move(l.found);
    }

    // not for threads: the mutex keeps them apart
    backtrace_state* state_ = backtrace_create_state(nullptr, 0, ignore_error, nullptr);
    std::unordered_map<const void*, frames> known_;
};

// Never destroyed: a report may be written while the program ends. Its creation is serialised by the
// language.
symboliser& the_symboliser() {
    static auto& s = *new symboliser;
    return s;
}

bool only_throws(const stack_frame& f) noexcept {
    return f.function.starts_with("std::__throw_") || f.function.starts_with("__cxa_") ||
           f.function.starts_with("__cxxabiv1::__cxa_");
}

} // namespace

std::vector<stack_frame> symbolise(std::span<void* const> addresses) noexcept {
    std::vector<stack_frame> result;
    try {
        symboliser& s = the_symboliser();
        const std::scoped_lock lock{s.mutex};
        for (const void* address : addresses) {
            for (const stack_frame& f : s(address))
                if (!result.empty() || !only_throws(f)) result.push_back(f);
        }
    } catch (...) { // no memory: what there is so far is better than nothing
    }
    return result;
}

std::string to_string(const stack_trace& t) {
    if (t.empty()) return "  (no stack trace)";
    std::string text;
    std::size_t number = 0;
    for (const stack_frame& f : symbolise(t.addresses())) {
        if (number > 0) text += '\n';
        text += "  #" + std::to_string(number++) + ' ' + f.function;
        if (f.line > 0)
            text += " at " + f.file + ':' + std::to_string(f.line);
        else if (!f.file.empty())
            text += " in " + f.file;
    }
    if (number == 0) return "  (a stack trace without known functions)";
    if (t.size() == stack_trace::capacity) text += "\n  (deeper frames were not recorded)";
    return text;
}

} // namespace genever
