// Remembers where exceptions were thrown, by standing in front of the C++ runtime's `__cxa_throw`.
//
// Each thread keeps its last few throws in a ring, found by the address of the thrown object, which is what a
// `std::exception_ptr` holds. `throw;` and `std::rethrow_exception` do not come through here and keep the
// object, so the first trace stays. An address is used again as soon as its exception is gone; three things
// keep an old trace from being taken for a new exception's:
// - this thread's next throw at that address replaces the record;
// - every throw, on any thread, leaves its stamp at its address's place in `last_throws`, so a record is good
//   only while nobody else has thrown there;
// - an exception made by `std::make_exception_ptr` has another destructor in its header than a thrown one.
#include <genever/base/stack_trace.hpp>

#include "stack_walker.hpp"

#include <atomic>
#include <cerrno>
#include <dlfcn.h>
#include <unwind.h>

// <cxxabi.h> is not included: it declares __cxa_throw noreturn, see below
extern "C" void __cxa_rethrow();

namespace genever::detail {

namespace {

using throw_function = void (*)(void*, std::type_info*, void (*)(void*));

struct throw_record {
    const void* object = nullptr;
    const std::type_info* type = nullptr;
    void (*destructor)(void*) = nullptr;
    std::uint64_t stamp = 0;
    stack_trace trace;
};

struct throw_ring {
    std::array<throw_record, 8> records{};
    std::uint32_t thread = 0; // this thread's number in stamps; 0 before its first throw
    std::uint32_t throws = 0;
};

constinit thread_local throw_ring ring;
constinit std::atomic<std::uint32_t> threads{0};
constinit std::atomic<throw_function> runtimes_throw{nullptr};

// relaxed throughout: a thread that is handed an exception by another sees that one's stamp, because handing
// over synchronises. Two addresses that share a place cost a trace, never the right one.
constexpr unsigned last_throws_bits = 10;
constinit std::array<std::atomic<std::uint64_t>, 1U << last_throws_bits> last_throws{};

std::atomic<std::uint64_t>& last_throw_at(const void* object) noexcept {
    const std::uint64_t mixed =
        reinterpret_cast<std::uintptr_t>(object) * 0x9e3779b97f4a7c15U; // Fibonacci hashing
    return last_throws[mixed >> (64 - last_throws_bits)];
}

// What the Itanium C++ ABI (Exception Handling, 2.2.1) puts in front of each thrown object.
struct exception_header {
    const std::type_info* type;
    void (*destructor)(void*);
    void (*unexpected_handler)();
    void (*terminate_handler)();
    void* next;
    int handler_count;
    int handler_switch_value;
    const void* action_record;
    const void* language_specific_data;
    void* catch_temporary;
    void* adjusted_pointer;
    _Unwind_Exception unwind_header;
};

// `known`: the trace, or null, and it is taken from `frame`.
void record_throw(const void* object, const std::type_info* type, void (*destructor)(void*),
                  const void* frame, const stack_trace* known) noexcept {
    throw_ring& r = ring;
    if (r.thread == 0) r.thread = threads.fetch_add(1, std::memory_order_relaxed) + 1;
    throw_record& record = r.records[r.throws++ % r.records.size()];
    // a signal handler on this thread may throw in between: no record is half one thing, half another
    record.object = nullptr;
    std::atomic_signal_fence(std::memory_order_seq_cst);
    record.type = type;
    record.destructor = destructor;
    record.stamp = std::uint64_t{r.thread} << 32 | r.throws;
    if (known)
        record.trace = *known;
    else
        stack_walker::capture(record.trace, frame, 0);
    last_throw_at(object).store(record.stamp, std::memory_order_relaxed);
    std::atomic_signal_fence(std::memory_order_seq_cst);
    record.object = object;
}

throw_function find_runtimes_throw() noexcept {
    const int saved = errno;
    auto found = reinterpret_cast<throw_function>(dlsym(RTLD_NEXT, "__cxa_throw"));
    errno = saved;
    runtimes_throw.store(found, std::memory_order_relaxed);
    return found;
}

[[gnu::constructor]] void prepare() noexcept { find_runtimes_throw(); }

} // namespace

const stack_trace* find_throw(const void* object) noexcept {
    if (!object) return nullptr;
    for (const throw_record& record : ring.records) {
        if (record.object != object) continue;
        const auto* header = static_cast<const exception_header*>(object) - 1;
        if (header->type != record.type || header->destructor != record.destructor) continue;
        if (last_throw_at(object).load(std::memory_order_relaxed) != record.stamp) continue;
        return &record.trace;
    }
    return nullptr;
}

void adopt_throw(const void* object, const stack_trace& t) noexcept {
    const auto* header = static_cast<const exception_header*>(object) - 1;
    record_throw(object, header->type, header->destructor, nullptr, &t);
}

// With a static libstdc++ its own __cxa_throw takes the weak one's place, and there are no traces. That needs
// the member of the archive that defines it to be linked whatever else the program uses: this reference does
// it.
[[gnu::used]] void (*const volatile keeps_the_runtimes_throw)() = &__cxa_rethrow;

} // namespace genever::detail

// Weak, see above; but Clang's AddressSanitizer links a weak __cxa_throw of its own, in front of everything
// else.
#define GENEVER_THROW_LINKAGE __attribute__((weak, visibility("default"), noinline))
#define GENEVER_TAIL_CALL
#if defined(__clang__)
#undef GENEVER_TAIL_CALL
#define GENEVER_TAIL_CALL [[clang::musttail]]
#if __has_feature(address_sanitizer)
#undef GENEVER_THROW_LINKAGE
#define GENEVER_THROW_LINKAGE __attribute__((visibility("default"), noinline))
#endif
#endif

// Not declared noreturn, though it is: the compilers make no tail calls to what does not return, and only a
// tail call keeps this frame from the unwinder, which would visit it twice for each throw.
extern "C" GENEVER_THROW_LINKAGE GENEVER_UNSANITISED void __cxa_throw(void* object, std::type_info* type,
                                                                      void (*destructor)(void*)) {
    genever::detail::record_throw(object, type, destructor, __builtin_frame_address(0), nullptr);
    auto next = genever::detail::runtimes_throw.load(std::memory_order_relaxed);
    if (!next) next = genever::detail::find_runtimes_throw(); // thrown while the program was still starting
    GENEVER_TAIL_CALL return next(object, type, destructor);
}
