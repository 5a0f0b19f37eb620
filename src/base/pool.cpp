// Size classes of 32 bytes up to 2 KiB; per thread two stacks of free blocks for each class; a shared depot that
// takes and gives whole batches. Blocks are carved from 64 KiB chunks which are kept for the program's life: a
// program's peak of frames and messages comes back.
#include <genever/base/pool.hpp>

#include <genever/base/spinlock.hpp>

#include <array>
#include <cstdlib>
#include <new>
#include <utility>

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
    // In the first block of a batch that lies in the depot.
    free_block* next_batch;
    std::size_t size;
};

/// How many blocks travel between a thread and the depot at once.
constexpr std::size_t batch_of(std::size_t cls) { return cls < 8 ? 64 : 16; }

/// Free blocks, last in, first out. It moves as a whole, without a look at the blocks.
struct magazine {
    free_block* head = nullptr;
    std::size_t size = 0;

    void push(void* block) noexcept {
        auto* b = new (block) free_block; // the rest of it means something in the depot only
        b->next = head;
        head = b;
        ++size;
    }
    free_block* pop() noexcept {
        free_block* b = head;
        head = b->next;
        --size;
        return b;
    }
};

class depot {
public:
    void give(magazine m) noexcept {
        m.head->size = m.size;
        spin_guard g{lock_};
        m.head->next_batch = batches_;
        batches_ = m.head;
    }
    /// Empty when there is none.
    magazine take() noexcept {
        spin_guard g{lock_};
        free_block* b = batches_;
        if (!b) return {};
        batches_ = b->next_batch;
        return {b, b->size};
    }

private:
    spinlock lock_;
    free_block* batches_ = nullptr;
};

// Never destroyed: threads give their blocks back at their end, which may come after that of statics.
std::array<depot, classes>& depots() {
    alignas(depot) static unsigned char storage[sizeof(std::array<depot, classes>)];
    static auto* d = new (storage) std::array<depot, classes>;
    return *d;
}

/// Cuts a new chunk into batches, keeps one and gives the others to the depot.
magazine carve(std::size_t cls) {
    const std::size_t size = (cls + 1) * granule;
    auto* chunk = static_cast<char*>(std::aligned_alloc(4096, chunk_size));
    if (!chunk) throw std::bad_alloc{};
    magazine m;
    for (std::size_t at = chunk_size / size * size; at != 0; at -= size) {
        if (m.size == batch_of(cls)) {
            depots()[cls].give(m);
            m = {};
        }
        m.push(chunk + at - size);
    }
    return m;
}

magazine take_batch(std::size_t cls) {
    magazine m = depots()[cls].take();
    return m.head ? m : carve(cls);
}

/// Two magazines for each class (Bonwick and Adams, "Magazines and Vmem", 2001): a thread that takes and frees in
/// turns at the edge of one does not trade with the depot each time.
struct thread_cache {
    struct pair {
        magazine loaded;
        magazine previous;
    };
    std::array<pair, classes> pairs;

    /// Null where the loaded magazine is empty.
    void* take_loaded(std::size_t cls) noexcept {
        pair& p = pairs[cls];
        return p.loaded.head ? p.loaded.pop() : nullptr;
    }
    void* take(std::size_t cls) {
        pair& p = pairs[cls];
        if (!p.loaded.head) {
            std::swap(p.loaded, p.previous);
            if (!p.loaded.head) p.loaded = take_batch(cls);
        }
        return p.loaded.pop();
    }
    /// False where the loaded magazine is full.
    bool give_loaded(void* block, std::size_t cls) noexcept {
        pair& p = pairs[cls];
        if (p.loaded.size == batch_of(cls)) return false;
        p.loaded.push(block);
        return true;
    }
    void give(void* block, std::size_t cls) noexcept {
        pair& p = pairs[cls];
        if (p.loaded.size == batch_of(cls)) {
            std::swap(p.loaded, p.previous);
            if (p.loaded.head) depots()[cls].give(std::exchange(p.loaded, {}));
        }
        p.loaded.push(block);
    }
    ~thread_cache();
};

// Trivially readable before the cache's construction and after its end. The code is position-independent, for which the
// compiler would reckon with a call to find it; in the part of thread-local memory that is laid out at the start, which
// has room for a pointer even when a library is loaded later, it is one load away.
[[gnu::tls_model("initial-exec")]] thread_local thread_cache* current_cache = nullptr;
thread_local bool thread_ended = false;

thread_cache::~thread_cache() {
    for (std::size_t cls = 0; cls < classes; ++cls)
        for (const magazine& m : {pairs[cls].loaded, pairs[cls].previous})
            if (m.head) depots()[cls].give(m);
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

// What seldom happens lies in functions of its own, so that what mostly happens needs no registers saved.

[[gnu::noinline]] void* allocate_slowly(std::size_t cls) {
    if (thread_cache* c = cache()) [[likely]]
        return c->take(cls);
    magazine m = take_batch(cls); // a thread in its last moments: one block on its own
    void* block = m.pop();
    if (m.head) depots()[cls].give(m);
    return block;
}

[[gnu::noinline]] void free_slowly(void* block, std::size_t cls) noexcept {
    if (thread_cache* c = cache()) [[likely]] {
        c->give(block, cls);
        return;
    }
    magazine m;
    m.push(block);
    depots()[cls].give(m);
}

} // namespace

void* pool_allocate(std::size_t size) {
    if (size > largest || size == 0) [[unlikely]]
        return ::operator new(size);
    const std::size_t cls = (size - 1) / granule;
    if (thread_cache* c = current_cache) [[likely]]
        if (void* block = c->take_loaded(cls)) [[likely]]
            return block;
    return allocate_slowly(cls);
}

void pool_free(void* block, std::size_t size) noexcept {
    if (size > largest || size == 0) [[unlikely]] {
        ::operator delete(block, size);
        return;
    }
    const std::size_t cls = (size - 1) / granule;
    thread_cache* c = current_cache;
    if (c && c->give_loaded(block, cls)) [[likely]]
        return;
    free_slowly(block, cls);
}

#endif

} // namespace genever::detail
