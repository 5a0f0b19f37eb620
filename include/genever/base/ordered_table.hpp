// A small table whose order of iteration depends on nothing but what was done to it.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

namespace genever::detail {

/// Keys with values, by default constructible. The first entry lies in the table itself, as most tables have one at most; a few lie in one
/// array that is searched from end to end; more of them get a hash index. An erased entry's place is taken by the last one: the
/// order is not that of insertion, but the same operations give the same order in every run, whatever the keys hash to
/// (which a simulation that is to be replayed needs). Search, insertion and erasure take constant time.
template <class Key, class Value>
class ordered_table {
public:
    struct entry {
        Key first{};
        [[no_unique_address]] Value second{};
    };

    ordered_table() = default;
    ordered_table(const ordered_table&) = delete;
    ordered_table& operator=(const ordered_table&) = delete;

    bool empty() const noexcept { return size() == 0; }
    std::size_t size() const noexcept { return more_ ? more_->entries.size() : std::size_t{has_one_}; }
    const entry* begin() const noexcept { return more_ ? more_->entries.data() : &one_; }
    const entry* end() const noexcept { return begin() + size(); }

    /// Null when the key is not there; valid until the next change.
    Value* find(const Key& k) noexcept {
        if (!more_) return has_one_ && one_.first == k ? &one_.second : nullptr;
        const std::size_t i = more_->position(k);
        return i == none ? nullptr : &more_->entries[i].second;
    }
    /// False, and nothing changes, when the key is there already. Throws std::bad_alloc, and nothing changes.
    bool insert(const Key& k, Value v) {
        if (find(k)) return false;
        if (!more_ && !has_one_) {
            one_ = entry{k, std::move(v)};
            has_one_ = true;
            return true;
        }
        if (!more_) {
            auto more = std::make_unique<several>();
            more->entries.reserve(2);
            more->entries.push_back(std::exchange(one_, {}));
            has_one_ = false;
            more_ = std::move(more);
        }
        more_->add(entry{k, std::move(v)});
        return true;
    }
    void clear() noexcept {
        more_.reset();
        one_ = {};
        has_one_ = false;
    }
    /// False when the key is not there.
    bool erase(const Key& k) noexcept {
        if (more_) {
            const bool there = more_->erase(k);
            if (more_->entries.empty()) more_.reset();
            return there;
        }
        if (!has_one_ || !(one_.first == k)) return false;
        one_ = {};
        has_one_ = false;
        return true;
    }

private:
    static constexpr std::size_t searched = 16;
    static constexpr std::size_t none = ~std::size_t{0};

    struct several {
        std::vector<entry> entries;
        // Which entry a key has, counted from 1; 0: free. Open addressing with linear probing, at most three in four taken
        // (Knuth, TAOCP 6.4, algorithms L and R). Empty: all entries are searched.
        std::vector<std::uint32_t> index;

        std::size_t position(const Key& k) const noexcept {
            if (index.empty()) {
                for (std::size_t i = 0; i < entries.size(); ++i)
                    if (entries[i].first == k) return i;
                return none;
            }
            const std::size_t at = place(k);
            return index[at] == 0 ? none : index[at] - 1;
        }
        void add(entry e) {
            entries.push_back(std::move(e));
            if (entries.size() <= searched && index.empty()) return;
            if (entries.size() <= index.size() / 4 * 3) {
                index[place(entries.back().first)] = static_cast<std::uint32_t>(entries.size());
                return;
            }
            try {
                make_index();
            } catch (...) {
                entries.pop_back();
                throw;
            }
        }
        bool erase(const Key& k) noexcept {
            const std::size_t i = position(k);
            if (i == none) return false;
            if (!index.empty()) {
                free_place(place(k));
                if (i + 1 != entries.size())
                    index[place(entries.back().first)] = static_cast<std::uint32_t>(i + 1);
            }
            if (i + 1 != entries.size()) entries[i] = std::move(entries.back());
            entries.pop_back();
            return true;
        }

    private:
        void make_index() {
            index = std::vector<std::uint32_t>(std::bit_ceil(entries.size() * 2));
            for (std::size_t i = 0; i < entries.size(); ++i)
                index[place(entries[i].first)] = static_cast<std::uint32_t>(i + 1);
        }
        /// The upper bits of a product (Knuth, 6.4): the standard's hash of a number is the number.
        std::size_t home(const Key& k) const noexcept {
            return std::uint64_t{std::hash<Key>{}(k)} * 0x9E37'79B9'7F4A'7C15U >>
                   (64 - std::countr_zero(index.size()));
        }
        /// Where in the index `k` is, or would go.
        std::size_t place(const Key& k) const noexcept {
            const std::size_t mask = index.size() - 1;
            std::size_t at = home(k);
            while (index[at] != 0 && !(entries[index[at] - 1].first == k)) at = (at + 1) & mask;
            return at;
        }
        /// Moves those behind it up that could not be found any more beyond a free place.
        void free_place(std::size_t hole) noexcept {
            const std::size_t mask = index.size() - 1;
            for (std::size_t at = (hole + 1) & mask; index[at] != 0; at = (at + 1) & mask) {
                const std::size_t way = (at - home(entries[index[at] - 1].first)) & mask;
                if (way < ((at - hole) & mask)) continue;
                index[hole] = index[at];
                hole = at;
            }
            index[hole] = 0;
        }
    };

    entry one_; // while `more_` is null
    bool has_one_ = false;
    std::unique_ptr<several> more_; // made for the second
};

} // namespace genever::detail
