// The cells in which processes live: one reserved range of addresses, never unmapped.
#pragma once

#include <genever/runtime/detail/process.hpp>

#include <cstddef>
#include <cstdint>

namespace genever::detail {

/// One range for the whole program, so that a pid leads to its cell from any thread without asking which
/// runtime it belongs to. Cells are made ready by the page as they are first needed; a free cell keeps its
/// lock, its generation and its token, and nothing else of it means anything.
class cell_arena {
public:
    /// The arena; the first call reserves the addresses. Throws std::bad_alloc when that fails.
    static cell_arena& instance();

    /// A free cell, with a generation that no pid has carried yet. Throws std::bad_alloc when all are in use.
    process* take();
    void give(process* p) noexcept;

    /// The cell of a slot; null when that slot has never been in use.
    process* at(std::uint32_t slot) noexcept {
        // acquire: pairs with the release in take_fresh, which made the cell ready
        return slot < used_.load(std::memory_order_acquire) ? cell(slot) : nullptr;
    }
    std::uint32_t slot_of(const process& p) const noexcept {
        return static_cast<std::uint32_t>((reinterpret_cast<const char*>(&p) - base_) / cell_size);
    }
    bool contains(const void* block) const noexcept {
        return static_cast<std::size_t>(static_cast<const char*>(block) - base_) < reserved_;
    }
    /// How many slots have ever been in use.
    std::uint32_t used() const noexcept { return used_.load(std::memory_order_acquire); }

private:
    struct thread_cells;

    cell_arena();
    process* cell(std::uint32_t slot) const noexcept {
        return reinterpret_cast<process*>(base_ + std::size_t{slot} * cell_size);
    }
    thread_cells* mine();
    void refill(thread_cells& c);
    void spill(thread_cells& c, unsigned keep) noexcept;

    char* base_ = nullptr;
    std::size_t reserved_ = 0;
    std::atomic<std::uint32_t> used_{0};
    spinlock lock_; // guards what follows, and the growth of used_
    std::size_t committed_ = 0;
    process* free_ = nullptr; // linked by next_ready
};

} // namespace genever::detail
