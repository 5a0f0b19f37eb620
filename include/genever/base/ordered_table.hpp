// A small table whose order of iteration depends on nothing but what was done to it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <unordered_map>
#include <utility>
#include <vector>

namespace genever::detail {

/// Keys with values. Few entries lie in one array that is searched from end to end; more of them get a hash index. An
/// erased entry's place is taken by the last one: the order is not that of insertion, but the same operations
/// give the same order in every run, whatever the keys hash to (which a simulation that is to be replayed needs).
/// Search, insertion and erasure take constant time.
template <class Key, class Value>
class ordered_table {
public:
    using entry = std::pair<Key, Value>;

    bool empty() const noexcept { return entries_.empty(); }
    std::size_t size() const noexcept { return entries_.size(); }
    auto begin() const noexcept { return entries_.begin(); }
    auto end() const noexcept { return entries_.end(); }

    /// Null when the key is not there; valid until the next change.
    Value* find(const Key& k) noexcept {
        const std::size_t i = index_of(k);
        return i == none ? nullptr : &entries_[i].second;
    }
    /// False, and nothing changes, when the key is there already. Throws std::bad_alloc, and nothing changes.
    bool insert(const Key& k, Value v) {
        if (index_of(k) != none) return false;
        entries_.emplace_back(k, std::move(v));
        if (index_ || entries_.size() > searched) {
            try {
                add_to_index();
            } catch (...) {
                index_.reset();
                entries_.pop_back();
                throw;
            }
        }
        return true;
    }
    /// False when the key is not there.
    bool erase(const Key& k) noexcept {
        const std::size_t i = index_of(k);
        if (i == none) return false;
        if (index_) index_->erase(k);
        if (i + 1 != entries_.size()) {
            entries_[i] = std::move(entries_.back());
            if (index_) index_->find(entries_[i].first)->second = static_cast<std::uint32_t>(i);
        }
        entries_.pop_back();
        return true;
    }

private:
    static constexpr std::size_t searched = 16;
    static constexpr std::size_t none = ~std::size_t{0};

    std::size_t index_of(const Key& k) const noexcept {
        if (index_) {
            const auto i = index_->find(k);
            return i == index_->end() ? none : i->second;
        }
        for (std::size_t i = 0; i < entries_.size(); ++i)
            if (entries_[i].first == k) return i;
        return none;
    }
    void add_to_index() {
        std::size_t from = entries_.size() - 1;
        if (!index_) {
            index_ = std::make_unique<std::unordered_map<Key, std::uint32_t>>();
            from = 0;
        }
        for (std::size_t i = from; i < entries_.size(); ++i)
            index_->emplace(entries_[i].first, static_cast<std::uint32_t>(i));
    }

    std::vector<entry> entries_;
    std::unique_ptr<std::unordered_map<Key, std::uint32_t>> index_; // null: the array is searched
};

} // namespace genever::detail
