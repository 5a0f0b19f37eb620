// Size classes of 32 bytes up to 2 KiB; per thread two stacks of free blocks for each class; a shared depot that
// takes and gives batches. Blocks are carved from 64 KiB chunks.
//
// Small blocks travel as whole batches, without a look at them, and their chunks are kept for the program's life: a program's peak
// of messages comes back. Large ones are mostly frames and what connections keep while they serve, of which thousands may be
// there for a tenth of a second. Their depot has the free blocks by chunk, and a chunk without a block in use goes back to the
// system when a thread has nothing else to do:
//
//     untouched ──carve──▶ used ──last block given back──▶ empty ──tidy──▶ untouched
//                           ▲────────first one taken──────────┘
#include <genever/base/pool.hpp>

#include <genever/base/spinlock.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <new>
#include <sys/mman.h>
#include <utility>
#include <vector>

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
bool pool_untidy() noexcept { return false; }
bool pool_tidy() noexcept { return false; }

#else

namespace {

constexpr std::size_t granule = 32;
constexpr std::size_t classes = 64;
constexpr std::size_t largest = granule * classes;
constexpr std::size_t chunk_size = 64 * 1024;
constexpr std::size_t first_large = 8; // from here on chunks are given back

constexpr std::size_t size_of(std::size_t cls) { return (cls + 1) * granule; }

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

/// Of small blocks.
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

/// Chunks in pages of their own, each at a multiple of its size. Addresses stay mapped.
class chunk_store {
public:
    explicit chunk_store(bool gives_back) noexcept : gives_back_(gives_back) {}
    void* take() {
        spin_guard g{lock_};
        if (free_.empty()) add_region();
        void* const c = free_.back();
        free_.pop_back();
        return c;
    }
    /// Without its memory, which reads as zeros then.
    void give(void* chunk) noexcept {
        ::madvise(chunk, chunk_size, MADV_DONTNEED);
        spin_guard g{lock_};
        free_.push_back(chunk); // there is room: see add_region
    }

private:
    static constexpr std::size_t chunks = 32; // in a region

    void add_region() {
        free_.reserve(all_ + chunks);
        constexpr std::size_t size = (chunks + 1) * chunk_size;
        void* const m = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (m == MAP_FAILED) throw std::bad_alloc{};
        // A huge page stays as long as anything in it is used.
        if (gives_back_) ::madvise(m, size, MADV_NOHUGEPAGE);
        const auto at = (reinterpret_cast<std::uintptr_t>(m) + chunk_size - 1) / chunk_size * chunk_size;
        for (std::size_t i = chunks; i-- > 0;) free_.push_back(reinterpret_cast<char*>(at) + i * chunk_size);
        all_ += chunks;
    }

    const bool gives_back_;
    spinlock lock_;
    std::vector<void*> free_; // apart from the chunks: a list through them would touch their pages
    std::size_t all_ = 0;
};

/// What stands at the head of a chunk of large blocks. Under its depot's lock.
struct alignas(64) large_chunk {
    large_chunk* previous = nullptr; // in one of the depot's two lists, unless all of it is in use
    large_chunk* next = nullptr;
    free_block* free = nullptr;
    std::uint32_t free_count = 0;

    static large_chunk& of(void* block) noexcept {
        return *reinterpret_cast<large_chunk*>(reinterpret_cast<std::uintptr_t>(block) &
                                               ~std::uintptr_t{chunk_size - 1});
    }
    static constexpr std::uint32_t blocks(std::size_t cls) noexcept {
        return static_cast<std::uint32_t>((chunk_size - sizeof(large_chunk)) / size_of(cls));
    }
};

// Empty chunks of each class, so that what comes and goes does not fault its memory in each time.
constexpr unsigned empty_kept = 1;

/// Of large blocks. What is given back has been empty from one look to the next: a load that comes in bursts finds again what the
/// one before has left.
class large_depot {
public:
    /// Throws std::bad_alloc.
    magazine take(std::size_t cls, std::size_t most);
    void give(magazine m, std::size_t cls) noexcept;
    /// Gives a chunk back that has been empty since the last look, but for those that are kept. False when there is none.
    bool give_back() noexcept;
    /// From now on.
    void look() noexcept {
        spin_guard g{lock_};
        fewest_empty_ = empty_;
    }

private:
    class list {
    public:
        large_chunk* front() const noexcept { return first_; }
        void put_in(large_chunk& c) noexcept {
            c.previous = nullptr;
            c.next = first_;
            if (first_) first_->previous = &c;
            first_ = &c;
        }
        void take_out(large_chunk& c) noexcept {
            (c.previous ? c.previous->next : first_) = c.next;
            if (c.next) c.next->previous = c.previous;
        }

    private:
        large_chunk* first_ = nullptr;
    };
    void add_empty(large_chunk& c) noexcept;
    large_chunk& take_empty() noexcept;

    spinlock lock_;
    list partly_used_; // taken from first, so that empty ones stay empty
    list empty_chunks_;
    unsigned empty_ = 0;
    unsigned fewest_empty_ = 0; // since the last look
};

struct shared_parts {
    std::array<depot, first_large> small;
    std::array<large_depot, classes - first_large> large;
    // Not in the heap, where what is freed around them could not go back to the system.
    chunk_store chunks_of_small{false};
    chunk_store chunks_of_large{true};
    std::atomic<unsigned> large_used{0};
    std::atomic<unsigned> spare{0}; // empty ones of them that need not be kept

    large_depot& large_of(std::size_t cls) noexcept { return large[cls - first_large]; }
};

// Never destroyed: threads give their blocks back at their end, which may come after that of statics.
shared_parts& shared() {
    alignas(shared_parts) static unsigned char storage[sizeof(shared_parts)];
    static auto* s = new (storage) shared_parts;
    return *s;
}

/// A new one, all of whose blocks are free. Without a lock, since it faults memory in.
large_chunk& make_chunk(std::size_t cls) {
    auto& c = *new (shared().chunks_of_large.take()) large_chunk;
    shared().large_used.fetch_add(1, std::memory_order_relaxed);
    c.free_count = large_chunk::blocks(cls);
    // Backwards, so that they are taken from the front.
    for (std::size_t i = c.free_count; i-- > 0;) {
        void* const at = reinterpret_cast<char*>(&c + 1) + i * size_of(cls);
        c.free = new (at) free_block{c.free, nullptr, 0};
    }
    return c;
}

void large_depot::add_empty(large_chunk& c) noexcept {
    empty_chunks_.put_in(c);
    if (++empty_ > empty_kept) shared().spare.fetch_add(1, std::memory_order_relaxed);
}

large_chunk& large_depot::take_empty() noexcept {
    large_chunk& c = *empty_chunks_.front();
    empty_chunks_.take_out(c);
    if (--empty_ >= empty_kept) shared().spare.fetch_sub(1, std::memory_order_relaxed);
    fewest_empty_ = std::min(fewest_empty_, empty_);
    return c;
}

magazine large_depot::take(std::size_t cls, std::size_t most) {
    magazine m;
    for (;;) {
        {
            spin_guard g{lock_};
            while (m.size < most) {
                if (!partly_used_.front()) {
                    if (empty_ == 0) break;
                    partly_used_.put_in(take_empty());
                }
                large_chunk& c = *partly_used_.front();
                while (c.free && m.size < most) {
                    free_block* const b = c.free;
                    c.free = b->next;
                    --c.free_count;
                    m.push(b);
                }
                if (!c.free) partly_used_.take_out(c);
            }
        }
        if (m.head) return m;
        large_chunk& c =
            make_chunk(cls); // others may do the same meanwhile: then there is one more for later
        spin_guard g{lock_};
        add_empty(c);
    }
}

void large_depot::give(magazine m, std::size_t cls) noexcept {
    spin_guard g{lock_};
    while (m.head) {
        free_block* const b = m.pop();
        large_chunk& c = large_chunk::of(b);
        if (!c.free) partly_used_.put_in(c);
        b->next = c.free;
        c.free = b;
        if (++c.free_count != large_chunk::blocks(cls)) continue;
        partly_used_.take_out(c);
        add_empty(c);
    }
}

bool large_depot::give_back() noexcept {
    large_chunk* c;
    {
        spin_guard g{lock_};
        if (fewest_empty_ <= empty_kept) return false;
        c = &take_empty();
    }
    shared().chunks_of_large.give(c);
    shared().large_used.fetch_sub(1, std::memory_order_relaxed);
    return true;
}

/// Cuts a new chunk into batches, keeps one and gives the others to the depot.
magazine carve(std::size_t cls) {
    const std::size_t size = size_of(cls);
    auto* const chunk = static_cast<char*>(shared().chunks_of_small.take());
    magazine m;
    for (std::size_t at = chunk_size / size * size; at != 0; at -= size) {
        if (m.size == batch_of(cls)) {
            shared().small[cls].give(m);
            m = {};
        }
        m.push(chunk + at - size);
    }
    return m;
}

magazine take_batch(std::size_t cls) {
    if (cls >= first_large) return shared().large_of(cls).take(cls, batch_of(cls));
    magazine m = shared().small[cls].take();
    return m.head ? m : carve(cls);
}

void give_batch(magazine m, std::size_t cls) noexcept {
    if (cls >= first_large)
        shared().large_of(cls).give(m, cls);
    else
        shared().small[cls].give(m);
}

/// Two magazines for each class (Bonwick and Adams, "Magazines and Vmem", 2001): a thread that takes and frees in
/// turns at the edge of one does not trade with the depot each time.
struct thread_cache {
    struct pair {
        magazine loaded;
        magazine previous;
    };
    std::array<pair, classes> pairs;
    bool keeps_large = false; // perhaps

    /// Null where the loaded magazine is empty.
    void* take_loaded(std::size_t cls) noexcept {
        pair& p = pairs[cls];
        return p.loaded.head ? p.loaded.pop() : nullptr;
    }
    void* take(std::size_t cls) {
        pair& p = pairs[cls];
        if (!p.loaded.head) {
            std::swap(p.loaded, p.previous);
            if (!p.loaded.head) {
                p.loaded = take_batch(cls);
                keeps_large |= cls >= first_large;
            }
        }
        return p.loaded.pop();
    }
    /// False where the loaded magazine is full.
    bool give_loaded(void* block, std::size_t cls) noexcept {
        pair& p = pairs[cls];
        if (p.loaded.size == batch_of(cls)) return false;
        p.loaded.push(block);
        if (cls >= first_large) keeps_large = true;
        return true;
    }
    void give(void* block, std::size_t cls) noexcept {
        pair& p = pairs[cls];
        if (p.loaded.size == batch_of(cls)) {
            std::swap(p.loaded, p.previous);
            if (p.loaded.head) give_batch(std::exchange(p.loaded, {}), cls);
        }
        p.loaded.push(block);
        keeps_large |= cls >= first_large;
    }
    void give_all_from(std::size_t first) noexcept {
        for (std::size_t cls = first; cls < classes; ++cls)
            for (magazine* m : {&pairs[cls].loaded, &pairs[cls].previous})
                if (m->head) give_batch(std::exchange(*m, {}), cls);
        keeps_large = false;
    }
    ~thread_cache();
};

// Trivially readable before the cache's construction and after its end. The code is position-independent, for which the
// compiler would reckon with a call to find it; in the part of thread-local memory that is laid out at the start, where
// glibc has room for a pointer even when a library is loaded later, it is one load away.
[[gnu::tls_model("initial-exec")]] thread_local thread_cache* current_cache = nullptr;
thread_local bool thread_ended = false;

thread_cache::~thread_cache() {
    give_all_from(0);
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
    if (m.head) give_batch(m, cls);
    return block;
}

[[gnu::noinline]] void free_slowly(void* block, std::size_t cls) noexcept {
    if (thread_cache* c = cache()) [[likely]] {
        c->give(block, cls);
        return;
    }
    magazine m;
    m.push(block);
    give_batch(m, cls);
}

// What is so little is in nobody's way.
constexpr unsigned chunks_always_kept = 4;
constexpr int most_at_once = 8; // about 100 microseconds

bool worth_it() noexcept { return shared().large_used.load(std::memory_order_relaxed) > chunks_always_kept; }

} // namespace

bool pool_untidy() noexcept {
    return worth_it() && ((current_cache && current_cache->keeps_large) ||
                          shared().spare.load(std::memory_order_relaxed) != 0);
}

bool pool_tidy() noexcept {
    if (!worth_it()) return false;
    if (current_cache) current_cache->give_all_from(first_large);
    int left = most_at_once;
    for (std::size_t cls = first_large; cls < classes; ++cls)
        while (worth_it() && shared().large_of(cls).give_back())
            if (--left == 0) return true;
    for (large_depot& d : shared().large) d.look();
    return false;
}

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
