#include "arena.hpp"

#include <algorithm>
#include <new>
#include <sys/mman.h>

namespace genever::detail {

constinit cell_arena the_cells;

namespace {

constexpr std::size_t least_regions = 8; // below this a service is not worth starting
constexpr unsigned batch = 64;
constexpr std::size_t always_kept = 2;   // empty regions, and one in eight
constexpr std::size_t small_regions = 2; // the first ones: without huge pages

} // namespace

/// A thread's free cells.
struct cell_arena::thread_cells {
    process* head = nullptr;
    unsigned size = 0;

    void push(process* p) noexcept {
        p->next_ready = head;
        head = p;
        ++size;
    }
    process* pop() noexcept {
        process* p = head;
        head = p->next_ready;
        --size;
        return p;
    }
    ~thread_cells();
};

namespace {

// Trivial, so that they may be read before a thread's cells are made and after they are gone.
thread_local void* current_cells = nullptr;
thread_local bool cells_ended = false;

} // namespace

cell_arena::thread_cells::~thread_cells() {
    the_cells.spill(*this, 0);
    current_cells = nullptr;
    cells_ended = true;
}

cell_arena::thread_cells* cell_arena::mine() noexcept {
    if (current_cells) [[likely]]
        return static_cast<thread_cells*>(current_cells);
    return make_mine();
}

[[gnu::noinline]] cell_arena::thread_cells* cell_arena::make_mine() noexcept {
    if (cells_ended) return nullptr;
    thread_local thread_cells cells;
    current_cells = &cells;
    return &cells;
}

// Under the lock, once.
void cell_arena::reserve() {
    for (std::size_t regions = most_regions; regions >= least_regions; regions /= 2) {
        const std::size_t size = regions * region_size;
        void* m =
            mmap(nullptr, size + region_size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (m == MAP_FAILED) continue;
        const auto at = (reinterpret_cast<std::uintptr_t>(m) + region_size - 1) / region_size * region_size;
        base_ = reinterpret_cast<char*>(at);
        reserved_ = size;
        // A page fault costs more than making sixteen processes. Who has more than the first regions hold has enough of
        // them for huge pages; who has not, shall not pay 2 MiB for the first one that is too many.
        constexpr std::size_t small = small_regions * region_size;
        madvise(base_, small, MADV_NOHUGEPAGE); // advice: it may fail
        madvise(base_ + small, size - small, MADV_HUGEPAGE);
        return;
    }
    throw std::bad_alloc{};
}

process* cell_arena::take() {
    thread_cells* c = mine();
    if (!c) throw std::bad_alloc{}; // a thread in its last moments starts no processes
    if (!c->head) [[unlikely]]
        refill(*c);
    return c->pop();
}

void cell_arena::give(process* p) noexcept {
    if (thread_cells* c = mine()) [[likely]] {
        c->push(p);
        if (c->size >= 2 * batch) [[unlikely]]
            spill(*c, batch);
        return;
    }
    thread_cells last;
    last.push(p);
    spill(last, 0);
}

void cell_arena::refill(thread_cells& c) {
    spin_guard g{lock_};
    if (!base_) reserve();
    for (; lowest_ < reserved_ / region_size; ++lowest_) {
        if (fill_from(lowest_, c)) return;
        if (carve(lowest_, c)) return;
    }
    throw std::bad_alloc{};
}

// Takes free cells of a region. False when it has none.
bool cell_arena::fill_from(std::size_t index, thread_cells& c) {
    region& r = regions_[index];
    if (!r.free || r.returning) return false;
    if (r.free_count == r.carved) --empty_;
    while (r.free && c.size < batch) {
        process* p = r.free;
        r.free = p->next_ready;
        --r.free_count;
        c.push(p);
    }
    return true;
}

// Makes new cells in a region. False when it is full; throws std::bad_alloc when the system has no memory.
bool cell_arena::carve(std::size_t index, thread_cells& c) {
    region& r = regions_[index];
    if (r.returning || r.carved == cells_per_region) return false;
    if (!r.writable) {
        if (mprotect(base_ + index * region_size, region_size, PROT_READ | PROT_WRITE) != 0)
            throw std::bad_alloc{};
        r.writable = true;
    }
    const std::uint32_t carved = r.carved;
    if (carved == 0) ++backed_;
    const auto first = static_cast<std::uint32_t>(index * cells_per_region + carved);
    const bool fresh = first >= used_.load(std::memory_order_relaxed); // written under lock_ only
    for (unsigned i = batch; i-- > 0;) {
        process* p =
            fresh ? new (cell(first + i)) process{} : cell(first + i); // else zeros, which mean the same
        {
            spin_guard g{p->lock}; // a late look at the cell's former use may hold it just now
            p->generation = r.generation_floor + 1 ? r.generation_floor + 1 : 1;
            p->token = r.token_floor + 1;
        }
        c.push(p);
    }
    r.carved.store(carved + batch, std::memory_order_release); // pairs with the acquire in for_each
    // release: pairs with the acquire in at(): whoever sees the slot in range sees the cell made
    if (fresh) used_.store(first + batch, std::memory_order_release);
    return true;
}

// Under the lock.
void cell_arena::put_back(process* p) noexcept {
    const std::size_t index = slot_of(*p) / cells_per_region;
    region& r = regions_[index];
    r.generation_floor = std::max<std::uint32_t>(r.generation_floor, p->generation);
    r.token_floor = std::max<std::uint64_t>(r.token_floor, p->token);
    p->next_ready = r.free;
    r.free = p;
    if (++r.free_count == r.carved) ++empty_;
    lowest_ = std::min(lowest_, index);
}

void cell_arena::hand_over(thread_cells& c, unsigned keep) noexcept {
    spin_guard g{lock_};
    while (c.size > keep) put_back(c.pop());
}

void cell_arena::spill(thread_cells& c, unsigned keep) noexcept {
    hand_over(c, keep);
    if (enough_empty()) [[unlikely]]
        return_memory();
}

bool cell_arena::tidy() noexcept {
    auto* c = static_cast<thread_cells*>(current_cells);
    if (keeps_cells(c)) hand_over(*c, 0);
    return enough_empty() && return_memory();
}

bool cell_arena::untidy() const noexcept {
    return enough_empty() || keeps_cells(static_cast<const thread_cells*>(current_cells));
}

// Those of a program so small that it gives nothing back are in nobody's way.
bool cell_arena::keeps_cells(const thread_cells* c) const noexcept {
    return c && c->size != 0 && backed_.load(std::memory_order_relaxed) > kept_regions();
}

// Some stay, so that a program whose number of processes swings does not fault its memory in each time.
std::size_t cell_arena::kept_regions() const noexcept {
    return always_kept + backed_.load(std::memory_order_relaxed) / 8;
}

bool cell_arena::enough_empty() const noexcept {
    return empty_.load(std::memory_order_relaxed) > kept_regions();
}

// Gives the uppermost empty region back to the system. The system call is made without the lock.
bool cell_arena::return_memory() noexcept {
    std::size_t index;
    std::uint32_t cells;
    {
        spin_guard g{lock_};
        if (!enough_empty()) return false;
        index = (used_.load(std::memory_order_relaxed) - 1) / cells_per_region;
        for (;; --index) {
            if (index == 0) return false; // a program that small keeps it
            const region& r = regions_[index];
            if (!r.returning && r.carved != 0 && r.free_count == r.carved) break;
        }
        region& r = regions_[index];
        r.returning = true;
        r.free = nullptr;
        r.free_count = 0;
        cells = r.carved.exchange(0, std::memory_order_relaxed);
        --empty_;
        --backed_;
    }
    // All cells are free, but late looks may hold their locks for a moment. Each lock is taken, and given back as a zero
    // together with the memory: so no unlock of a late look can meet the lock of the cell's next use. From then on
    // the cells read as zeros: dead, generation 0, unlocked.
    for (std::uint32_t c = 0; c < cells; ++c)
        cell(static_cast<std::uint32_t>(index * cells_per_region + c))->lock.lock();
    madvise(base_ + index * region_size, region_size, MADV_DONTNEED);
    spin_guard g{lock_};
    regions_[index].returning = false;
    lowest_ = std::min(lowest_, index);
    return true;
}

std::size_t cell_arena::backed() noexcept {
    spin_guard g{lock_};
    return backed_ * region_size;
}

} // namespace genever::detail
