#include "stuck_stack.hpp"

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

namespace genever::detail {

namespace {

// ---- asking a thread that computes
//
//     idle ──asked (tid)──▶ wanted ──the handler, on that thread──▶ filling ──▶ done ──read──▶ idle
//                             └──it did not come in time──▶ idle

enum class question_state : int { idle, wanted, filling, done };

struct question {
    std::atomic<question_state> state{question_state::idle};
    std::atomic<pid_t> tid{0};
    stack_trace answer;
};

constinit question asked;
constinit std::atomic<bool> taken{false}; // by whoever may ask and read
struct sigaction before;                  // written once, before the first signal

void answer(int signal, siginfo_t* info, void* context) {
    const int saved = errno;
    auto wanted = question_state::wanted;
    if (asked.tid.load(std::memory_order_acquire) == static_cast<pid_t>(syscall(SYS_gettid)) &&
        asked.state.compare_exchange_strong(wanted, question_state::filling, std::memory_order_acq_rel)) {
        const auto& registers = static_cast<ucontext_t*>(context)->uc_mcontext;
#if defined(__x86_64__)
        const auto pc = static_cast<std::uintptr_t>(registers.gregs[REG_RIP]);
        const auto fp = static_cast<std::uintptr_t>(registers.gregs[REG_RBP]);
#else
        const auto pc = static_cast<std::uintptr_t>(registers.pc);
        const auto fp = static_cast<std::uintptr_t>(registers.regs[29]);
#endif
        asked.answer =
            stack_trace::of_interrupted(reinterpret_cast<const void*>(pc), reinterpret_cast<const void*>(fp));
        asked.state.store(question_state::done, std::memory_order_release);
    } else if ((before.sa_flags & SA_SIGINFO) != 0) {
        before.sa_sigaction(signal, info, context);
    } else if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN) {
        before.sa_handler(signal);
    }
    errno = saved;
}

bool install() noexcept {
    static const bool installed = [] {
        struct sigaction a{};
        if (sigaction(stack_signal, nullptr, &before) != 0) return false;
        a.sa_sigaction = answer;
        a.sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK;
        sigemptyset(&a.sa_mask);
        return sigaction(stack_signal, &a, nullptr) == 0;
    }();
    return installed;
}

enum class answer_of_proc : std::uint8_t { runs, blocked, unknown };

/// proc_pid_syscall(5): a blocked thread's stack pointer and program counter.
answer_of_proc blocked_at(pid_t tid, std::uintptr_t& sp, std::uintptr_t& pc) noexcept {
    char path[64];
    std::snprintf(path, sizeof path, "/proc/self/task/%d/syscall", static_cast<int>(tid));
    const int fd = ::open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return answer_of_proc::unknown;
    char text[256];
    const ssize_t n = ::read(fd, text, sizeof text - 1);
    ::close(fd);
    if (n <= 0) return answer_of_proc::unknown;
    text[n] = 0;
    if (std::strncmp(text, "running", 7) == 0) return answer_of_proc::runs;
    const char* last = std::strrchr(text, ' ');
    if (!last) return answer_of_proc::unknown;
    const char* second = last;
    while (second > text && second[-1] != ' ') --second;
    unsigned long long a = 0;
    unsigned long long b = 0;
    if (std::sscanf(second, "%llx %llx", &a, &b) != 2) return answer_of_proc::unknown;
    sp = a;
    pc = b;
    return answer_of_proc::blocked;
}

/// proc_pid_stat(5): whether a thread sleeps, for systems whose /proc tells no system calls (containers, other kernels).
bool sleeps(pid_t tid) noexcept {
    char path[64];
    std::snprintf(path, sizeof path, "/proc/self/task/%d/stat", static_cast<int>(tid));
    const int fd = ::open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return false;
    char text[256];
    const ssize_t n = ::read(fd, text, sizeof text - 1);
    ::close(fd);
    if (n <= 0) return false;
    text[n] = 0;
    const char* const name_end = std::strrchr(text, ')'); // the name may contain anything
    return name_end && (name_end[1] == ' ') && (name_end[2] == 'S' || name_end[2] == 'D');
}

} // namespace

bool is_blocked(const thread_state& t) noexcept {
    std::uintptr_t sp = 0;
    std::uintptr_t pc = 0;
    switch (blocked_at(t.tid, sp, pc)) {
    case answer_of_proc::blocked: return true;
    case answer_of_proc::runs: return false;
    case answer_of_proc::unknown: break;
    }
    return sleeps(t.tid);
}

std::optional<stack_trace> stack_if_blocked(const thread_state& t) noexcept {
    std::uintptr_t sp = 0;
    std::uintptr_t pc = 0;
    switch (blocked_at(t.tid, sp, pc)) {
    case answer_of_proc::blocked: break;
    case answer_of_proc::runs: return {};
    case answer_of_proc::unknown:
        // To ask it would end its system call early: it has no stack to show.
        if (!sleeps(t.tid)) return {};
        return stack_trace{};
    }
    // A process that has switched to a stack of its own (a fiber library's) is not followed there.
    const bool on_its_stack = sp >= reinterpret_cast<std::uintptr_t>(t.stack_low) &&
                              sp < reinterpret_cast<std::uintptr_t>(t.bottom_frame);
    return stack_trace::of_blocked_thread(reinterpret_cast<const void*>(pc),
                                          on_its_stack ? reinterpret_cast<const void*>(sp) : t.bottom_frame,
                                          t.bottom_frame);
}

bool ask_for_stack(const thread_state& t) noexcept {
    if (!install() || taken.exchange(true, std::memory_order_acquire)) return false;
    asked.tid.store(t.tid, std::memory_order_relaxed);
    asked.state.store(question_state::wanted, std::memory_order_release);
    if (syscall(SYS_tgkill, getpid(), t.tid, stack_signal) == 0) return true;
    asked.state.store(question_state::idle, std::memory_order_relaxed);
    taken.store(false, std::memory_order_release);
    return false;
}

std::optional<stack_trace> take_answer() noexcept {
    if (asked.state.load(std::memory_order_acquire) != question_state::done) return {};
    std::optional<stack_trace> trace{asked.answer};
    asked.state.store(question_state::idle, std::memory_order_relaxed);
    taken.store(false, std::memory_order_release); // pairs with the acquire in ask_for_stack
    return trace;
}

bool withdraw_question() noexcept {
    auto wanted = question_state::wanted;
    if (!asked.state.compare_exchange_strong(wanted, question_state::idle, std::memory_order_acq_rel))
        return false;
    taken.store(false, std::memory_order_release);
    return true;
}

} // namespace genever::detail
