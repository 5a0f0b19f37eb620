// The cells in which processes live: one reserved range of addresses, never unmapped.
//
// The range is cut into regions of 2 MiB, the size of a huge page:
//
//     untouched ──first cell needed──▶ backed ──all its cells free, and enough others are──▶ returning ──▶ untouched
//
// A region that is returned keeps its addresses and loses its memory, which then reads as zeros: dead cells under a
// generation that no pid carries. So a late look at a cell is harmless at any time. What must never repeat, generations
// and tokens, goes on from the region's highest when it is backed again (`floor`).
#pragma once

#include <genever/base/spinlock.hpp>
#include <genever/runtime/detail/process.hpp>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace genever::detail {

/// One range for the whole program, so that a pid leads to its cell from any thread without asking which runtime it
/// belongs to. Threads keep some free cells each and trade them in batches. Cells come from the lowest region that has
/// any, so that after a peak the upper ones empty and are returned: by the threads that trade, one at a time, and by the workers
/// before they sleep, so that all are also when nothing happens any more.
class cell_arena {
public:
    constexpr cell_arena() noexcept = default;
    cell_arena(const cell_arena&) = delete;

    /// A free cell, with a generation that no pid has carried yet. Throws std::bad_alloc when there is no memory, or
    /// all are in use.
    process* take();
    void give(process* p) noexcept;
    /// For a thread that has nothing else to do: hands the free cells that it keeps over to the others, since each of them
    /// keeps a region from being empty, and returns a region if enough are. True when it has returned one: there may be more.
    /// A region takes up to a millisecond.
    bool tidy() noexcept;
    /// Whether `tidy` has something to do; without the lock.
    bool untidy() const noexcept;
    /// Whether there is memory to return, by any thread.
    bool enough_empty() const noexcept;

    /// The cell of a slot; null when that slot has never been in use.
    process* at(std::uint32_t slot) noexcept {
        // acquire: pairs with the release in carve, which made the cell ready
        return slot < used_.load(std::memory_order_acquire) ? cell(slot) : nullptr;
    }
    std::uint32_t slot_of(const process& p) const noexcept {
        return static_cast<std::uint32_t>((reinterpret_cast<const char*>(&p) - base_) / cell_size);
    }
    bool contains(const void* block) const noexcept {
        return static_cast<std::size_t>(static_cast<const char*>(block) - base_) < reserved_;
    }
    /// Calls `f(process&)` for each cell that may be in use, without a lock. Cells that come into use meanwhile may be
    /// left out.
    template <class F>
    void for_each(F f) {
        const std::uint32_t used = used_.load(std::memory_order_acquire);
        for (std::size_t i = 0; i * cells_per_region < used; ++i) {
            // acquire: pairs with the release in carve; what has no memory at the moment is left without
            const std::uint32_t carved = regions_[i].carved.load(std::memory_order_acquire);
            for (std::uint32_t c = 0; c < carved; ++c)
                f(*cell(static_cast<std::uint32_t>(i * cells_per_region + c)));
        }
    }
    /// How much memory is backed at the moment, in bytes.
    std::size_t backed() noexcept;

private:
    static constexpr std::size_t region_size = std::size_t{1} << 21;
    static constexpr std::uint32_t cells_per_region = region_size / cell_size;
    static constexpr std::size_t most_regions = std::size_t{1} << 13; // 16 GiB of addresses, not of memory

    struct region {
        process* free = nullptr; // linked by next_ready
        std::uint32_t free_count = 0;
        std::atomic<std::uint32_t> carved{
            0}; // cells made ready since it was last backed; written under the lock
        std::uint32_t generation_floor = 0;
        std::uint64_t token_floor = 0;
        bool writable = false;
        bool returning = false; // its memory is being given back, without the lock
    };
    struct thread_cells;
    friend struct thread_cells;

    process* cell(std::uint32_t slot) const noexcept {
        return reinterpret_cast<process*>(base_ + std::size_t{slot} * cell_size);
    }
    static thread_cells* mine() noexcept;
    static thread_cells* make_mine() noexcept;
    void reserve();
    void refill(thread_cells& c);
    bool fill_from(std::size_t index, thread_cells& c);
    bool carve(std::size_t index, thread_cells& c);
    void spill(thread_cells& c, unsigned keep) noexcept;
    void hand_over(thread_cells& c, unsigned keep) noexcept;
    void put_back(process* p) noexcept;
    std::size_t kept_regions() const noexcept;
    bool keeps_cells(const thread_cells* c) const noexcept;
    bool return_memory() noexcept;

    char* base_ = nullptr; // written once, before used_ is first more than 0
    std::size_t reserved_ = 0;
    std::atomic<std::uint32_t> used_{0};
    // Guards what follows, and the growth of used_. On another line than what precedes, which everybody reads.
    alignas(64) spinlock lock_;
    std::size_t lowest_ = 0; // no region below it has a cell to give
    // Written under the lock; `tidy` looks without it, and is content with what was.
    std::atomic<std::size_t> backed_{0}; // regions
    std::atomic<std::size_t> empty_{0};  // of those, the ones without a cell in use
    std::array<region, most_regions> regions_{};
};

/// The program's arena. It has no destructor: pids may be looked up until the very end.
extern constinit cell_arena the_cells;

} // namespace genever::detail
