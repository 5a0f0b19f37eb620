#include "arena.hpp"

#include <new>
#include <sys/mman.h>

namespace genever::detail {

namespace {

constexpr std::size_t most_cells = std::size_t{1} << 26;  // 16 GiB of addresses, not of memory
constexpr std::size_t least_cells = std::size_t{1} << 16; // below this a service is not worth starting
constexpr std::size_t commit_step = std::size_t{1} << 21;
constexpr unsigned batch = 64;

thread_local bool cells_ended = false;

} // namespace

struct cell_arena::thread_cells {
    cell_arena& arena;
    process* head = nullptr;
    unsigned size = 0;

    explicit thread_cells(cell_arena& a) noexcept : arena(a) {}
    ~thread_cells() {
        arena.spill(*this, 0);
        cells_ended = true;
    }
};

cell_arena& cell_arena::instance() {
    alignas(cell_arena) static unsigned char storage[sizeof(cell_arena)];
    static auto* a = new (storage) cell_arena; // never destroyed: pids may be looked up until the very end
    return *a;
}

cell_arena::cell_arena() {
    for (std::size_t cells = most_cells; cells >= least_cells; cells /= 2) {
        void* m =
            mmap(nullptr, cells * cell_size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (m != MAP_FAILED) {
            base_ = static_cast<char*>(m);
            reserved_ = cells * cell_size;
            return;
        }
    }
    throw std::bad_alloc{};
}

cell_arena::thread_cells* cell_arena::mine() {
    if (cells_ended) return nullptr;
    thread_local thread_cells cells{*this};
    return &cells;
}

process* cell_arena::take() {
    thread_cells* c = mine();
    if (!c) throw std::bad_alloc{}; // a thread in its last moments starts no processes
    if (!c->head) refill(*c);
    process* p = c->head;
    c->head = p->next_ready;
    --c->size;
    return p;
}

void cell_arena::give(process* p) noexcept {
    thread_cells* c = mine();
    if (!c) {
        spin_guard g{lock_};
        p->next_ready = free_;
        free_ = p;
        return;
    }
    p->next_ready = c->head;
    c->head = p;
    if (++c->size >= 2 * batch) spill(*c, batch);
}

void cell_arena::refill(thread_cells& c) {
    spin_guard g{lock_};
    while (free_ && c.size < batch) {
        process* p = free_;
        free_ = p->next_ready;
        p->next_ready = c.head;
        c.head = p;
        ++c.size;
    }
    if (c.head) return;

    const std::uint32_t first = used_.load(std::memory_order_relaxed); // written under lock_ only
    const std::size_t end = (std::size_t{first} + batch) * cell_size;
    if (end > committed_) {
        if (committed_ + commit_step > reserved_ ||
            mprotect(base_ + committed_, commit_step, PROT_READ | PROT_WRITE) != 0)
            throw std::bad_alloc{};
        committed_ += commit_step;
    }
    for (unsigned i = batch; i-- > 0;) {
        process* p = new (cell(first + i)) process{};
        p->generation = 1;
        p->next_ready = c.head;
        c.head = p;
        ++c.size;
    }
    // release: pairs with the acquire in at(): whoever sees the slot in range sees the cell made
    used_.store(first + batch, std::memory_order_release);
}

void cell_arena::spill(thread_cells& c, unsigned keep) noexcept {
    spin_guard g{lock_};
    while (c.size > keep) {
        process* p = c.head;
        c.head = p->next_ready;
        --c.size;
        p->next_ready = free_;
        free_ = p;
    }
}

} // namespace genever::detail
