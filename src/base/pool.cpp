// Size classes of 32 bytes up to 2 KiB; per thread a stack of free blocks for each class; a shared depot that
// takes and gives whole batches. Blocks are carved from 64 KiB chunks which are kept for the program's life: a
// program's peak of frames and messages comes back.
#include <genever/base/pool.hpp>

#include <genever/base/spinlock.hpp>

#include <array>
#include <cstdlib>
#include <new>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define GENEVER_POOL_USES_HEAP 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define GENEVER_POOL_USES_HEAP 1
#endif
#endif

namespace genever::detail {

#ifdef GENEVER_POOL_USES_HEAP

void* pool_allocate(std::size_t size) { return ::operator new(size); }
void pool_free(void* block, std::size_t size) noexcept { ::operator delete(block, size); }

#else

namespace {

constexpr std::size_t granule = 32;
constexpr std::size_t classes = 64;
constexpr std::size_t largest = granule * classes;
constexpr std::size_t chunk_size = 64 * 1024;

struct free_block {
    free_block* next;
    // In the first block of a batch that lies in the depot: the next batch.
    free_block* next_batch;
};

/// How many blocks travel between a thread and the depot at once.
constexpr unsigned batch_of(std::size_t cls) { return cls < 8 ? 64 : 16; }

struct depot {
    spinlock lock;
    free_block* batches = nullptr;
};

// Never destroyed: threads give their blocks back at their end, which may come after that of statics.
std::array<depot, classes>& depots() {
    alignas(depot) static unsigned char storage[sizeof(std::array<depot, classes>)];
    static auto* d = new (storage) std::array<depot, classes>;
    return *d;
}

struct thread_cache {
    struct stack {
        free_block* head = nullptr;
        unsigned size = 0;
    };
    std::array<stack, classes> stacks;

    free_block* refill(std::size_t cls);
    void spill(std::size_t cls);
    ~thread_cache();
};

// Trivially readable before the cache's construction and after its end.
thread_local thread_cache* current_cache = nullptr;
thread_local bool thread_ended = false;

thread_cache::~thread_cache() {
    for (std::size_t cls = 0; cls < classes; ++cls)
        while (stacks[cls].head) spill(cls);
    current_cache = nullptr;
    thread_ended = true;
}

[[gnu::noinline]] thread_cache* make_cache() {
    if (thread_ended) return nullptr;
    thread_local thread_cache cache;
    return current_cache = &cache;
}

thread_cache* cache() {
    if (auto* c = current_cache) [[likely]]
        return c;
    return make_cache();
}

free_block* carve(std::size_t cls) {
    const std::size_t size = (cls + 1) * granule;
    auto* chunk = static_cast<char*>(std::aligned_alloc(4096, chunk_size));
    if (!chunk) throw std::bad_alloc{};
    const unsigned per_batch = batch_of(cls);
    free_block* batches = nullptr;
    free_block* batch = nullptr;
    unsigned in_batch = 0;
    for (std::size_t at = chunk_size / size * size; at != 0; at -= size) {
        auto* b = new (chunk + at - size) free_block{batch, nullptr};
        batch = b;
        if (++in_batch == per_batch || at == size) {
            b->next_batch = batches;
            batches = b;
            batch = nullptr;
            in_batch = 0;
        }
    }
    free_block* mine = batches;
    if (mine->next_batch) {
        free_block* last = mine->next_batch;
        while (last->next_batch) last = last->next_batch;
        auto& d = depots()[cls];
        spin_guard g{d.lock};
        last->next_batch = d.batches;
        d.batches = mine->next_batch;
    }
    return mine;
}

free_block* take_batch(std::size_t cls) {
    auto& d = depots()[cls];
    {
        spin_guard g{d.lock};
        if (free_block* b = d.batches) {
            d.batches = b->next_batch;
            return b;
        }
    }
    return carve(cls);
}

free_block* thread_cache::refill(std::size_t cls) {
    free_block* b = take_batch(cls);
    unsigned n = 0;
    for (free_block* i = b; i; i = i->next) ++n;
    stacks[cls] = {b->next, n - 1};
    return b;
}

/// Gives one batch, or what is there of it, to the depot.
void thread_cache::spill(std::size_t cls) {
    auto& s = stacks[cls];
    free_block* first = s.head;
    free_block* last = first;
    unsigned n = 1;
    for (; n < batch_of(cls) && last->next; ++n) last = last->next;
    s = {last->next, s.size - n};
    last->next = nullptr;
    auto& d = depots()[cls];
    spin_guard g{d.lock};
    first->next_batch = d.batches;
    d.batches = first;
}

} // namespace

void* pool_allocate(std::size_t size) {
    if (size > largest || size == 0) return ::operator new(size);
    const std::size_t cls = (size - 1) / granule;
    thread_cache* c = cache();
    if (!c) [[unlikely]] { // a thread in its last moments: one block on its own
        free_block* b = take_batch(cls);
        if (b->next) {
            auto& d = depots()[cls];
            spin_guard g{d.lock};
            b->next->next_batch = d.batches;
            d.batches = b->next;
        }
        return b;
    }
    auto& s = c->stacks[cls];
    if (free_block* b = s.head) [[likely]] {
        s.head = b->next;
        --s.size;
        return b;
    }
    return c->refill(cls);
}

void pool_free(void* block, std::size_t size) noexcept {
    if (size > largest || size == 0) {
        ::operator delete(block, size);
        return;
    }
    const std::size_t cls = (size - 1) / granule;
    auto* b = static_cast<free_block*>(block);
    thread_cache* c = cache();
    if (!c) [[unlikely]] {
        *b = {nullptr, nullptr};
        auto& d = depots()[cls];
        spin_guard g{d.lock};
        b->next_batch = d.batches;
        d.batches = b;
        return;
    }
    auto& s = c->stacks[cls];
    b->next = s.head;
    s.head = b;
    if (++s.size > 2 * batch_of(cls)) c->spill(cls);
}

#endif

} // namespace genever::detail
