#include "fault_handler.hpp"

#include "base/stack_walker.hpp"
#include "fault_text.hpp"
#include "runtime_core.hpp"
#include "unwind_table.hpp"

#include <genever/runtime/hardware_fault.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <dlfcn.h>
#include <link.h>
#include <mutex>
#include <optional>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>
#include <unwind.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define GENEVER_HANDLES_FAULTS 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define GENEVER_HANDLES_FAULTS 0
#endif
#endif
#ifndef GENEVER_HANDLES_FAULTS
#define GENEVER_HANDLES_FAULTS 1 // the sanitizers report faults themselves, with their own handlers
#endif

#if GENEVER_HANDLES_FAULTS && defined(GENEVER_NON_CALL_EXCEPTIONS) && defined(__x86_64__) &&                 \
    defined(__GNUC__) && !defined(__clang__)
#define GENEVER_THROWS_FAULTS 1
#else
#define GENEVER_THROWS_FAULTS 0
#endif

// The code of the rooms that processes run on: the build gives it a section of its own (cmake/GeneverRoom.cmake), whose
// bounds the linker tells.
extern "C" {
extern const char __start_genever_text[] __attribute__((weak, visibility("hidden")));
extern const char __stop_genever_text[] __attribute__((weak, visibility("hidden")));
}

namespace genever::detail {

namespace {

struct range {
    std::uintptr_t low = 0;
    std::uintptr_t high = 0;

    bool contains(std::uintptr_t a) const noexcept { return a >= low && a < high; }
    bool empty() const noexcept { return low == high; }
};

std::uintptr_t to_address(const void* p) noexcept { return reinterpret_cast<std::uintptr_t>(p); }

// ---- which code is whose. Written when the handlers are installed, before the first fault.

struct modules {
    range program;  // the executable
    range own;      // where Genever is linked into: the same, as a rule
    range standard; // libstdc++
    range c;        // libc
    std::uintptr_t program_base = 0;
    range runtime; // within `own`
};
constinit modules code;

range code_around(const dl_phdr_info& m, std::uintptr_t address) noexcept {
    for (int i = 0; i < m.dlpi_phnum; ++i) {
        const auto& s = m.dlpi_phdr[i];
        if (s.p_type != PT_LOAD || (s.p_flags & PF_X) == 0) continue;
        const range r{m.dlpi_addr + s.p_vaddr, m.dlpi_addr + s.p_vaddr + s.p_memsz};
        if (address == 0 || r.contains(address)) return r;
    }
    return {};
}

struct search {
    std::uintptr_t own;
    std::uintptr_t standard;
    std::uintptr_t c;
    bool first = true;
};

int look_at_module(dl_phdr_info* m, std::size_t, void* data) noexcept {
    auto& s = *static_cast<search*>(data);
    if (std::exchange(s.first, false)) { // the executable comes first
        code.program = code_around(*m, 0);
        code.program_base = m->dlpi_addr;
    }
    if (const range r = code_around(*m, s.own); !r.empty()) code.own = r;
    if (const range r = code_around(*m, s.standard); s.standard && !r.empty()) code.standard = r;
    if (const range r = code_around(*m, s.c); s.c && !r.empty()) code.c = r;
    return 0;
}

void find_modules() noexcept {
    // dlsym and not `&`: in an executable the latter may be the address of a stub
    search s{to_address(reinterpret_cast<const void*>(&look_at_module)),
             to_address(dlsym(RTLD_DEFAULT, "_ZSt9terminatev")), to_address(dlsym(RTLD_DEFAULT, "abort"))};
    dl_iterate_phdr(look_at_module, &s);
    code.runtime = {to_address(__start_genever_text), to_address(__stop_genever_text)};
}

constinit std::atomic<bool> refused{false}; // by code that they could not leave soundly

/// What is known before any fault: whether user code, the runtime's and the C library's can be told apart at all.
/// Whether a library is there that is not part of the program: linked statically, its code could not be told from ours.
bool is_apart(const range& library) noexcept {
    return !library.empty() && !code.own.contains(library.low) && !code.program.contains(library.low);
}

bool can_throw() noexcept {
    return GENEVER_THROWS_FAULTS != 0 && !refused.load(std::memory_order_relaxed) && !code.runtime.empty() &&
           is_apart(code.c) && is_apart(code.standard);
}

// ---- what happened

enum class refusal : std::uint8_t {
    none,
    not_built,
    no_process,
    sent,
    memory_failure,
    stack_overflow,
    other_stack,
    runtime_code,
    library_code,
    library_between,
    library_catches,
    barred,
    uncaught,
};

std::string_view to_string(refusal r) noexcept {
    switch (r) {
    case refusal::none: return "";
    case refusal::not_built:
        return "this program was built without exceptions for faults (they need GCC on x86-64 with "
               "-fnon-call-exceptions in all code, a shared C library, no sanitizer, and no link-time "
               "optimisation of Genever)";
    case refusal::no_process: return "the thread runs no process";
    case refusal::sent: return "somebody sent the signal";
    case refusal::memory_failure: return "the memory itself has failed";
    case refusal::stack_overflow: return "the stack has run out (a runaway recursion?)";
    case refusal::other_stack: return "the process does not run on its thread's own stack";
    case refusal::runtime_code: return "the fault lies in the runtime";
    case refusal::library_code: return "the fault lies in a library";
    case refusal::library_between: return "a library lies between the fault and the code that would catch it";
    case refusal::library_catches:
        return "a library would catch it, and go on as if nothing had happened (a stream does so with what "
               "its buffer throws)";
    case refusal::barred:
        return "it cannot leave a function that is noexcept, or was compiled without -fnon-call-exceptions";
    case refusal::uncaught: return "nothing would catch it";
    }
    return "";
}

struct fault {
    fault_kind kind = fault_kind::bad_read;
    std::uintptr_t address = 0;
    std::uintptr_t pc = 0;
    std::uintptr_t sp = 0;
    std::uintptr_t fp = 0;
};

#if defined(__x86_64__)

constexpr std::uint64_t page_fault = 14;
constexpr std::uint64_t wrote = 2;    // bits of a page fault's error code
constexpr std::uint64_t fetched = 16; // an instruction

fault look_at(int signal, const siginfo_t& info, const ucontext_t& u) noexcept {
    const auto& r = u.uc_mcontext.gregs;
    fault f;
    f.pc = static_cast<std::uintptr_t>(r[REG_RIP]);
    f.sp = static_cast<std::uintptr_t>(r[REG_RSP]);
    f.fp = static_cast<std::uintptr_t>(r[REG_RBP]);
    f.address = to_address(info.si_addr);
    const auto error = static_cast<std::uint64_t>(r[REG_ERR]);
    if (signal == SIGFPE) {
        const bool integer = info.si_code == FPE_INTDIV || info.si_code == FPE_INTOVF;
        f.kind = integer ? fault_kind::division : fault_kind::floating_point;
    } else if (signal == SIGBUS) {
        f.kind = fault_kind::bus_error;
    } else if (static_cast<std::uint64_t>(r[REG_TRAPNO]) != page_fault) {
        f.address = hardware_fault::unknown_address; // a general protection fault has none
    } else if ((error & fetched) != 0 || f.address == f.pc) {
        f.kind = fault_kind::bad_call;
    } else if ((error & wrote) != 0) {
        f.kind = fault_kind::bad_write;
    }
    return f;
}

#else

fault look_at(int signal, const siginfo_t& info, const ucontext_t& u) noexcept {
    fault f;
    f.pc = static_cast<std::uintptr_t>(u.uc_mcontext.pc);
    f.sp = static_cast<std::uintptr_t>(u.uc_mcontext.sp);
    f.fp = static_cast<std::uintptr_t>(u.uc_mcontext.regs[29]);
    f.address = to_address(info.si_addr);
    if (signal == SIGFPE) f.kind = fault_kind::floating_point;
    if (signal == SIGBUS) f.kind = fault_kind::bus_error;
    return f;
}

#endif

bool in_the_runtime(std::uintptr_t pc) noexcept { return code.runtime.contains(pc); }
bool in_the_program(std::uintptr_t pc) noexcept { return code.program.contains(pc) || code.own.contains(pc); }

/// Near the end of the thread's stack: the system's guard lies there, with what a large frame may skip.
bool is_overflow(const fault& f, const thread_state& t) noexcept {
    constexpr std::uintptr_t around = 64 * 1024;
    const std::uintptr_t end = to_address(t.stack_low);
    return end != 0 && f.address >= end - around && f.address < end + around;
}

// ---- asking the tables

struct question {
    std::uintptr_t pc = 0;
    std::uintptr_t low = 0; // of the process's stack
    std::uintptr_t run_frame = 0;
    std::array<const std::type_info*, 3> types{&typeid(hardware_fault), &typeid(std::runtime_error),
                                               &typeid(std::exception)};
    bool reached = false;
    unsigned frames = 0;
    refusal answer = refusal::uncaught;
    stack_trace trace; // up to the frame that catches
    std::uintptr_t catching_pc = 0;
    std::uintptr_t catching_fp = 0;
};

#if defined(__x86_64__)
constexpr int frame_pointer_register = 6;
#else
constexpr int frame_pointer_register = 29;
#endif

// The handler's own frames come first, then the faulting one.
_Unwind_Reason_Code ask_frame(_Unwind_Context* context, void* data) noexcept {
    auto& q = *static_cast<question*>(data);
    int interrupted = 0;
    const std::uintptr_t ip = _Unwind_GetIPInfo(context, &interrupted);
    if (!q.reached) {
        if (!interrupted || ip != q.pc) return _URC_NO_REASON;
        q.reached = true;
    }
    const auto answer = [&q](refusal r) {
        q.answer = r;
        return _URC_END_OF_STACK;
    };
    const bool innermost = q.frames++ == 0;
    const std::uintptr_t pc = interrupted ? ip : ip - 1;
    const std::uintptr_t sp = _Unwind_GetCFA(context); // the frame's own stack pointer
    const std::uintptr_t fp = _Unwind_GetGR(context, frame_pointer_register);
    if (fp == q.run_frame) return answer(refusal::uncaught);
    if (sp < q.low || sp >= q.run_frame) return answer(refusal::other_stack);
    if (innermost && in_the_runtime(pc)) return answer(refusal::runtime_code);
    if (!in_the_program(pc) && (innermost || !code.standard.contains(pc)))
        return answer(innermost ? refusal::library_code : refusal::library_between);
    switch (passage_at(reinterpret_cast<const unsigned char*>(_Unwind_GetLanguageSpecificData(context)),
                       _Unwind_GetRegionStart(context), pc, q.types)) {
    case passage::barred: return answer(refusal::barred);
    case passage::caught:
        // Nobody wrote that `catch` with a fault in mind. Whether it throws on, the tables do not tell.
        if (!in_the_program(pc)) return answer(refusal::library_catches);
        q.catching_pc = pc;
        q.catching_fp = fp;
        return answer(refusal::none);
    case passage::through: break;
    }
    if (!stack_walker::full(q.trace)) stack_walker::push(q.trace, pc + 1); // as if it were a return address
    return _URC_NO_REASON;
}

// ---- throwing

#if GENEVER_THROWS_FAULTS

/// Left on the process's stack, below the red zone of the faulting function: what the unwinder must know of the
/// registers there. `genever_fault_landing` tells it where they lie.
struct alignas(16) fault_frame {
    std::uintptr_t rip;
    std::uintptr_t rsp;
    std::uintptr_t rbx;
    std::uintptr_t rbp;
    std::uintptr_t r12;
    std::uintptr_t r13;
    std::uintptr_t r14;
    std::uintptr_t r15;
    fault_kind kind;
    std::uintptr_t address;
    stack_trace trace;
};
static_assert(offsetof(fault_frame, rip) == 0 && offsetof(fault_frame, r15) == 56);

extern "C" __attribute__((visibility("hidden"))) void genever_fault_landing();

// Runs on the process's stack, outside of the handler. May run out of memory: then that is what is thrown.
extern "C" [[noreturn, gnu::used, gnu::visibility("hidden")]] void genever_throw_fault(const fault_frame* f) {
    auto e = std::make_exception_ptr(hardware_fault{f->kind, f->address});
    adopt_trace(e, f->trace);
    std::rethrow_exception(std::move(e));
}

// A signal frame to the unwinder: the address that it finds in `rip` is the faulting instruction's own, not one after a
// call. The frame address is the faulting function's stack pointer; the registers that a function keeps for its caller
// lie in the fault_frame, to which rsp points. (DW_CFA_def_cfa_expression and DW_CFA_expression of DW_OP_breg7.)
asm(R"(
        .text
        .hidden genever_fault_landing
        .globl  genever_fault_landing
        .type   genever_fault_landing, @function
genever_fault_landing:
        .cfi_startproc simple
        .cfi_signal_frame
        .cfi_escape 0x0f, 3, 0x77, 8, 0x06
        .cfi_escape 0x10, 16, 2, 0x77, 0
        .cfi_escape 0x10, 3, 2, 0x77, 16
        .cfi_escape 0x10, 6, 2, 0x77, 24
        .cfi_escape 0x10, 12, 2, 0x77, 32
        .cfi_escape 0x10, 13, 2, 0x77, 40
        .cfi_escape 0x10, 14, 2, 0x77, 48
        .cfi_escape 0x10, 15, 2, 0x77, 56
        movq    %rsp, %rdi
        call    genever_throw_fault
        ud2
        .cfi_endproc
        .size   genever_fault_landing, .-genever_fault_landing
)");

constexpr std::uintptr_t red_zone = 128;
constexpr greg_t direction_flag = 0x400; // the ABI wants it clear at every call

/// A call to where there is no code: back to the call, which is what the tables know. False where the stack holds no
/// return address.
bool step_back_to_the_call(const thread_state& t, ucontext_t& u, fault& f) noexcept {
    if (f.sp < to_address(t.stack_low) || f.sp + sizeof(void*) > to_address(t.run_frame) || f.sp % 8 != 0)
        return false;
    const auto after_call = *reinterpret_cast<const std::uintptr_t*>(f.sp);
    if (!in_the_program(after_call)) return false;
    f.pc = after_call - 1; // within the call instruction
    f.sp += sizeof(void*);
    u.uc_mcontext.gregs[REG_RIP] = static_cast<greg_t>(f.pc);
    u.uc_mcontext.gregs[REG_RSP] = static_cast<greg_t>(f.sp);
    return true;
}

void clear_floating_point_flags(ucontext_t& u) noexcept {
    if (!u.uc_mcontext.fpregs) return;
    u.uc_mcontext.fpregs->swd &= 0x7f00; // the flags, and that one of them is to trap
    u.uc_mcontext.fpregs->mxcsr &= ~0x3fU;
}

/// Whether an exception from `f` would be caught inside the process.
refusal ask(const thread_state& t, const fault& f, question& q) noexcept {
    const process* p = t.running.load(std::memory_order_relaxed);
    if (!p || t.helper || t.outside) return refusal::no_process;
    q.run_frame = to_address(t.run_frame);
    // a thread that is not ours (the simulation's) has not told its bounds: no more than this
    constexpr std::uintptr_t most = 64 * 1024 * 1024;
    q.low = t.stack_low ? to_address(t.stack_low) : q.run_frame - most;
    if (f.sp < q.low || f.sp >= q.run_frame) return refusal::other_stack;
    constexpr std::uintptr_t room_to_throw = 32 * 1024; // of stack, for the landing and the unwinder
    if (f.sp - q.low < room_to_throw) return refusal::stack_overflow;
    q.pc = f.pc;
    _Unwind_Backtrace(ask_frame, &q);
    return q.answer;
}

/// Has the process go on in `genever_fault_landing` when the handler returns.
void land(ucontext_t& u, const fault& f, const question& q) noexcept {
    auto& r = u.uc_mcontext.gregs;
    const auto reg = [&r](int i) { return static_cast<std::uintptr_t>(r[i]); };
    const std::uintptr_t room = (f.sp - red_zone - sizeof(fault_frame)) & ~std::uintptr_t{15};
    auto* left = new (reinterpret_cast<void*>(room)) fault_frame{.rip = f.pc,
                                                                 .rsp = f.sp,
                                                                 .rbx = reg(REG_RBX),
                                                                 .rbp = reg(REG_RBP),
                                                                 .r12 = reg(REG_R12),
                                                                 .r13 = reg(REG_R13),
                                                                 .r14 = reg(REG_R14),
                                                                 .r15 = reg(REG_R15),
                                                                 .kind = f.kind,
                                                                 .address = f.address,
                                                                 .trace = q.trace};
    // From the frame that catches outwards, frame pointers lead on.
    const auto outer = stack_trace::of_interrupted(reinterpret_cast<const void*>(q.catching_pc),
                                                   reinterpret_cast<const void*>(q.catching_fp));
    for (void* a : outer.addresses())
        if (!stack_walker::full(left->trace)) stack_walker::push(left->trace, to_address(a));
    if (f.kind == fault_kind::floating_point) clear_floating_point_flags(u);
    r[REG_RSP] = static_cast<greg_t>(room);
    r[REG_RIP] = static_cast<greg_t>(reinterpret_cast<std::uintptr_t>(&genever_fault_landing));
    r[REG_EFL] &= ~direction_flag;
}

refusal throw_if_possible(const thread_state& t, fault f, ucontext_t& u) noexcept {
    if (!can_throw()) return refusal::not_built;
    question q;
    const greg_t rip = u.uc_mcontext.gregs[REG_RIP];
    const greg_t rsp = u.uc_mcontext.gregs[REG_RSP];
    if (f.kind == fault_kind::bad_call && !step_back_to_the_call(t, u, f)) return refusal::uncaught;
    const refusal why = ask(t, f, q);
    if (why == refusal::none) {
        land(u, f, q);
    } else { // as it was, for the next handler and for the core
        u.uc_mcontext.gregs[REG_RIP] = rip;
        u.uc_mcontext.gregs[REG_RSP] = rsp;
    }
    return why;
}

#else

refusal throw_if_possible(const thread_state&, fault, ucontext_t&) noexcept { return refusal::not_built; }

#endif

refusal decide(int signal, const siginfo_t& info, ucontext_t& u) noexcept {
    // The kernel's own have positive codes.
    if (info.si_code <= 0) return refusal::sent;
    if (signal == SIGBUS && (info.si_code == BUS_MCEERR_AR || info.si_code == BUS_MCEERR_AO))
        return refusal::memory_failure;
    const thread_state* t = this_thread();
    if (!t || !t->running.load(std::memory_order_relaxed) || t->helper || t->outside)
        return refusal::no_process;
    const fault f = look_at(signal, info, u);
    if (is_overflow(f, *t)) return refusal::stack_overflow;
    return throw_if_possible(*t, f, u);
}

// ---- the handlers

constexpr std::array signals{SIGSEGV, SIGBUS, SIGFPE};
struct sigaction before[signals.size()];
std::mutex installing;
unsigned users = 0;

std::size_t index_of(int signal) noexcept {
    return static_cast<std::size_t>(std::ranges::find(signals, signal) - signals.begin());
}

/// The last words, where nobody else is there to say any.
void say_why(int signal, const siginfo_t& info, const ucontext_t& u, refusal why) noexcept {
    if (why == refusal::sent) return; // whoever did that knows
    const thread_state* t = this_thread();
    const process* p = t ? t->running.load(std::memory_order_relaxed) : nullptr;
    const fault f = look_at(signal, info, u);
    fault_text text;
    text.add("genever: ").describe(f.kind, f.address).add(", at ").add_hex(f.pc);
    if (p) {
        const pid id = pid_of(*p);
        text.add(", in process <").add_decimal(id.slot()).add(".").add_decimal(id.generation()).add(">");
    }
    text.add(", ends the program: ").add(to_string(why)).add("\n");
    stack_trace trace; // of others the bounds of the stack are not known
    if (p)
        trace = stack_trace::of_interrupted(reinterpret_cast<const void*>(f.pc),
                                            reinterpret_cast<const void*>(f.fp));
    for (void* a : trace.addresses()) { // for addr2line
        if (!code.program.contains(to_address(a))) continue;
        text.add("  executable+").add_hex(to_address(a) - 1 - code.program_base).add("\n");
    }
    const std::string_view all = text.view();
    if (::write(STDERR_FILENO, all.data(), all.size()) < 0) return; // nobody is left to be told
}

void pass_on(int signal, siginfo_t* info, void* context, refusal why) noexcept {
    const struct sigaction& next = before[index_of(signal)];
    if ((next.sa_flags & SA_SIGINFO) != 0) {
        next.sa_sigaction(signal, info, context);
        return;
    }
    if (next.sa_handler != SIG_DFL && next.sa_handler != SIG_IGN) {
        next.sa_handler(signal);
        return;
    }
    if (info->si_code <= 0 && next.sa_handler == SIG_IGN) return;
    say_why(signal, *info, *static_cast<const ucontext_t*>(context), why);
    struct sigaction a{};
    a.sa_handler = SIG_DFL;
    sigaction(signal, &a, nullptr);
    // The instruction faults again, and the core shows it; a signal that was sent has to be sent again.
    if (info->si_code <= 0) syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), signal);
}

void on_fault(int signal, siginfo_t* info, void* context) noexcept {
    const int saved = errno;
    const refusal why = decide(signal, *info, *static_cast<ucontext_t*>(context));
    if (why != refusal::none) pass_on(signal, info, context, why);
    errno = saved;
}

} // namespace

fault_handlers::fault_handlers() noexcept {
    if (GENEVER_HANDLES_FAULTS == 0) return;
    const std::lock_guard g{installing};
    if (users++ != 0) return;
    find_modules();
    // The unwinder loads what it needs at its first use, with the allocator's help: not in a handler.
    question nothing;
    _Unwind_Backtrace(ask_frame, &nothing);
    struct sigaction a{};
    a.sa_sigaction = on_fault;
    a.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigemptyset(&a.sa_mask);
    for (const int s : signals) sigaddset(&a.sa_mask, s);
    for (std::size_t i = 0; i < signals.size(); ++i) sigaction(signals[i], &a, &before[i]);
}

fault_handlers::~fault_handlers() {
    if (GENEVER_HANDLES_FAULTS == 0) return;
    const std::lock_guard g{installing};
    if (--users != 0) return;
    for (std::size_t i = 0; i < signals.size(); ++i) {
        struct sigaction now{};
        if (sigaction(signals[i], nullptr, &now) != 0) continue;
        if ((now.sa_flags & SA_SIGINFO) != 0 && now.sa_sigaction == on_fault)
            sigaction(signals[i], &before[i], nullptr);
    }
}

namespace {
// What the kernel saves of the registers (11 KB with AMX), the walk, and a user's own handler.
constexpr std::size_t alternate_size = 128 * 1024;
} // namespace

alternate_stack::alternate_stack() noexcept {
    if (GENEVER_HANDLES_FAULTS == 0) return;
    stack_t now{};
    if (sigaltstack(nullptr, &now) != 0 || (now.ss_flags & SS_DISABLE) == 0) return;
    const auto guard = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    void* const m =
        mmap(nullptr, guard + alternate_size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (m == MAP_FAILED) return;
    stack_t s{};
    s.ss_sp = static_cast<char*>(m) + guard;
    s.ss_size = alternate_size;
    if (mprotect(s.ss_sp, s.ss_size, PROT_READ | PROT_WRITE) != 0 || sigaltstack(&s, nullptr) != 0) {
        munmap(m, guard + alternate_size);
        return;
    }
    memory_ = m;
}

alternate_stack::~alternate_stack() {
    if (!memory_) return;
    stack_t none{};
    none.ss_flags = SS_DISABLE;
    sigaltstack(&none, nullptr);
    munmap(memory_, static_cast<std::size_t>(sysconf(_SC_PAGESIZE)) + alternate_size);
}

bool refuse_faults() noexcept {
    refused.store(true, std::memory_order_relaxed);
    return true;
}

} // namespace genever::detail

namespace genever {

bool hardware_faults_are_exceptions() noexcept {
    const detail::fault_handlers found; // looks at the modules
    return detail::can_throw();
}

} // namespace genever
