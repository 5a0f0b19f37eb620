#include "thread_priority.hpp"

#include <cerrno>
#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace genever::detail {

namespace {

// struct sched_attr of linux/sched/types.h, as far as it is needed (SCHED_ATTR_SIZE_VER0). The C library has no wrapper
// for the call in Debian 12, and the kernel's header does not go together with <sched.h>.
struct attributes {
    std::uint32_t size = 48;
    std::uint32_t policy = SCHED_OTHER;
    std::uint64_t flags = 0;
    std::int32_t nice = 0;
    std::uint32_t priority = 0;
    std::uint64_t runtime = 0; // the slice, for SCHED_OTHER; 0: the system's
    std::uint64_t deadline = 0;
    std::uint64_t period = 0;
};
static_assert(sizeof(attributes) == 48);

constexpr std::uint64_t shortest_slice = 100'000; // nanoseconds: the least that the kernel takes

} // namespace

int own_nice() noexcept {
    errno = 0;
    const int nice = getpriority(PRIO_PROCESS, 0);
    return errno == 0 ? nice : 0;
}

void ask_to_be_prompt(pid_t thread, int nice) noexcept {
    attributes a;
    a.nice = nice;
    a.runtime = shortest_slice;
    syscall(SYS_sched_setattr, thread, &a,
            0U); // if it is refused the system shares its cores as it does for everyone
}

void ask_for_usual_slices(pid_t thread) noexcept {
    errno = 0;
    attributes a;
    a.nice = getpriority(PRIO_PROCESS, static_cast<id_t>(thread));
    if (errno == 0) syscall(SYS_sched_setattr, thread, &a, 0U);
}

void lower_priority(pid_t thread, int nice) noexcept {
    attributes a;
    a.nice = nice;
    if (syscall(SYS_sched_setattr, thread, &a, 0U) != 0)
        setpriority(PRIO_PROCESS, static_cast<id_t>(thread), nice);
}

} // namespace genever::detail
