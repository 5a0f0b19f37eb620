// A registry: processes under keys of any type, found in constant time, forgotten when they end.
#pragma once

#include <genever/base/exit_reason.hpp>
#include <genever/base/pid.hpp>
#include <genever/otp/child_spec.hpp>
#include <genever/otp/via_name.hpp>
#include <genever/runtime/process.hpp>
#include <genever/runtime/task.hpp>

#include <algorithm>
#include <atomic>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

namespace genever {

enum class registry_keys : std::uint8_t {
    unique,    ///< one process at a time has a key
    duplicate, ///< any number of entries, also several of one process
};

struct registry_options {
    /// Into how many parts the tables are split, each with locks and a process of its own. More of them serve more
    /// cores at once. At least 1.
    std::size_t partitions = 1;
};

/// One entry under a key: whose it is, and the value that was registered with it.
template <class Value>
struct registry_entry {
    genever::pid pid;
    Value value;
};

/// Why a unique key was not given: another entry has it.
struct already_registered {
    genever::pid owner;
};

namespace detail {

/// What a keeper, the process that forgets those that have ended, asks of its registry.
class registry_base {
public:
    registry_base(std::string name, registry_options o);
    registry_base(const registry_base&) = delete;
    virtual ~registry_base();

    const std::string& name() const noexcept { return name_; }
    std::size_t partitions() const noexcept { return keepers_.size(); }

    /// The keeper's: its partition begins, or ends, empty.
    void open(std::size_t partition, pid keeper);
    void close(std::size_t partition) noexcept;
    /// The keeper's: removes the entries of a process that has ended.
    virtual void forget(std::size_t partition, pid owner) noexcept = 0;

protected:
    std::size_t partition_of(pid owner) const noexcept { return std::hash<pid>{}(owner) % partitions(); }
    /// Whose business `owner` is; throws std::runtime_error when the registry does not run.
    pid keeper_of(pid owner) const;
    [[noreturn]] void throw_not_running() const;
    /// The same as `keeper_of`; `pid{}` when the registry does not run.
    pid keeper_if_any(pid owner) const noexcept;
    virtual void clear(std::size_t partition) noexcept = 0;

private:
    std::string name_;
    std::vector<std::atomic<std::uint64_t>> keepers_; // pids; 0: it does not run
};

task<start_result> start_registry(std::shared_ptr<registry_base> table);

/// The tables. An entry is in two of them: by its key, among all that look for it; and by its owner, for the end. Each
/// part has a lock of its own, of which nobody holds two at once. Keys and values are made and destroyed outside of the
/// locks, and hashed there; what runs under one is the keys' operator==.
///
/// An entry counts only while its owner lives. The owner's end is seen at once by those who look, since they ask whether it
/// lives; the keeper removes the entry soon after.
template <class Key, class Value, registry_keys Keys, class Hash>
class registry_table final : public registry_base {
    struct hashed {
        Key key;
        std::size_t hash;
    };
    struct probe {
        const Key& key;
        std::size_t hash;
    };
    using key_ptr = std::shared_ptr<const hashed>;
    struct hash_of {
        using is_transparent = void;
        std::size_t operator()(const key_ptr& k) const noexcept { return k->hash; }
        std::size_t operator()(const probe& p) const noexcept { return p.hash; }
    };
    struct same_key {
        using is_transparent = void;
        bool operator()(const key_ptr& a, const key_ptr& b) const {
            return a == b || (a->hash == b->hash && a->key == b->key);
        }
        bool operator()(const probe& a, const key_ptr& b) const {
            return a.hash == b->hash && a.key == b->key;
        }
        bool operator()(const key_ptr& a, const probe& b) const { return (*this)(b, a); }
    };
    struct node;
    using node_ptr = std::shared_ptr<node>;
    using node_list = std::list<node_ptr>;
    struct node {
        key_ptr key;
        pid owner;
        // ---- under the lock of the key's part
        std::shared_ptr<const Value> value;
        typename node_list::iterator at = {};
        std::atomic<bool> listed = false; // read without it
    };
    using key_map = std::unordered_map<key_ptr, node_list, hash_of, same_key>;
    struct key_part {
        mutable std::shared_mutex lock;
        key_map buckets;
    };
    using entries_of_owner = std::unordered_multimap<key_ptr, node_ptr, hash_of, same_key>;
    struct owner_part {
        mutable std::mutex lock;
        std::unordered_map<pid, entries_of_owner> owners;
    };

public:
    using entry = registry_entry<Value>;

    registry_table(std::string name, registry_options o)
        : registry_base(std::move(name), o), keys_(partitions()), owners_(partitions()) {}

    std::expected<void, already_registered> add(Key key, Value value) {
        const pid me = pid_of(require_process("registering a key"));
        const pid keeper = keeper_of(me);
        auto n = std::make_shared<node>();
        const std::size_t hash = Hash{}(key);
        n->key = std::make_shared<const hashed>(std::move(key), hash);
        n->owner = me;
        n->value = std::make_shared<const Value>(std::move(value));
        if constexpr (Keys == registry_keys::unique)
            if (const auto others = living(probe{n->key->key, hash}); !others.empty())
                return std::unexpected(already_registered{others.front().first});
        // Whoever can see an entry can rely on its end: it is noted for its owner, and the keeper is linked, before it is
        // listed. What fails from here on takes the note back.
        struct noted {
            registry_table& table;
            const node_ptr& entry;
            pid keeper;
            bool stays = false;
            ~noted() {
                if (!stays) table.forget_one(entry, keeper);
            }
        } note{*this, n, keeper};
        {
            owner_part& part = owners_[partition_of(me)];
            std::lock_guard g{part.lock};
            part.owners[me].emplace(n->key, n);
        }
        link(keeper);
        if (const pid other = list(n)) return std::unexpected(already_registered{other});
        // A keeper that has gone meanwhile may have forgotten the note before the entry was listed.
        if (keeper_if_any(me) != keeper) {
            unlist(*n);
            throw_not_running();
        }
        note.stays = true;
        return {};
    }

    std::size_t remove(const Key& key) {
        const pid me = pid_of(require_process("unregistering a key"));
        const probe wanted{key, Hash{}(key)};
        std::vector<node_ptr> mine;
        bool last = false;
        {
            owner_part& part = owners_[partition_of(me)];
            std::lock_guard g{part.lock};
            const auto owner = part.owners.find(me);
            if (owner == part.owners.end()) return 0;
            auto [from, to] = owner->second.equal_range(wanted);
            for (auto i = from; i != to; ++i) mine.push_back(i->second);
            owner->second.erase(from, to);
            last = owner->second.empty();
            if (last) part.owners.erase(owner);
        }
        for (const node_ptr& n : mine) unlist(*n);
        if (last) unlink(keeper_if_any(me));
        return mine.size();
    }

    std::vector<entry> lookup(const Key& key) const {
        std::vector<entry> found;
        for (auto& [owner, value] : living(key)) found.push_back({owner, *value});
        return found;
    }
    pid whereis(const Key& key) const {
        const auto found = living(key);
        return found.empty() ? pid{} : found.front().first;
    }

    std::vector<Key> keys(pid owner) const {
        std::vector<key_ptr> found;
        if (is_alive(owner)) {
            const owner_part& part = owners_[partition_of(owner)];
            std::lock_guard g{part.lock};
            if (const auto i = part.owners.find(owner); i != part.owners.end())
                for (const auto& [k, n] : i->second)
                    // relaxed: noted, but not listed yet, it may not become its owner's
                    if (n->listed.load(std::memory_order_relaxed)) found.push_back(k);
        }
        std::vector<Key> copies;
        for (const key_ptr& k : found) copies.push_back(k->key);
        return copies;
    }
    std::vector<Value> values(const Key& key, pid owner) const {
        std::vector<Value> found;
        for (auto& [who, value] : living(key))
            if (who == owner) found.push_back(*value);
        return found;
    }

    template <class F>
    std::optional<std::pair<Value, Value>> update(const Key& key, F&& f) {
        const pid me = pid_of(require_process("updating a value"));
        const probe wanted{key, Hash{}(key)};
        node_ptr n;
        {
            owner_part& part = owners_[partition_of(me)];
            std::lock_guard g{part.lock};
            const auto owner = part.owners.find(me);
            if (owner == part.owners.end()) return {};
            const auto i = owner->second.find(wanted);
            if (i == owner->second.end()) return {};
            n = i->second;
        }
        // Its owner alone, this process, changes the value: it may be read here without the lock.
        std::shared_ptr<const Value> old = n->value;
        auto made = std::make_shared<const Value>(std::invoke(std::forward<F>(f), *old));
        std::pair<Value, Value> both{*made, *old};
        {
            std::unique_lock g{part_of(wanted.hash).lock};
            n->value.swap(made);
        }
        return both;
    }

    std::size_t count() const noexcept { return size_.load(std::memory_order_relaxed); }

    void forget(std::size_t partition, pid owner) noexcept override {
        entries_of_owner his;
        {
            owner_part& part = owners_[partition];
            std::lock_guard g{part.lock};
            const auto i = part.owners.find(owner);
            if (i == part.owners.end()) return;
            his.swap(i->second);
            part.owners.erase(i);
        }
        for (auto& [k, n] : his) unlist(*n);
    }

private:
    void clear(std::size_t partition) noexcept override {
        std::unordered_map<pid, entries_of_owner> all;
        {
            owner_part& part = owners_[partition];
            std::lock_guard g{part.lock};
            all.swap(part.owners);
        }
        for (auto& [owner, his] : all)
            for (auto& [k, n] : his) unlist(*n);
    }

    /// The living owner of a unique key that is in the way; `pid{}`: it is listed.
    pid list(const node_ptr& n) {
        node_list made;
        made.push_back(n);
        node_list gone;
        key_part& part = part_of(n->key->hash);
        std::unique_lock g{part.lock};
        node_list& bucket = part.buckets[n->key];
        if constexpr (Keys == registry_keys::unique) {
            if (!bucket.empty()) {
                const pid owner = bucket.front()->owner;
                if (is_alive(owner)) return owner;
                unlist(bucket, *bucket.front(), gone);
            }
        }
        bucket.splice(bucket.end(), made);
        n->at = std::prev(bucket.end());
        n->listed.store(true, std::memory_order_relaxed);
        size_.fetch_add(1, std::memory_order_relaxed);
        return {};
    }

    /// Takes back the note of an entry of the caller's that is not listed. Looks at all that the caller has: rare, and no
    /// code of the user's runs.
    void forget_one(const node_ptr& n, pid keeper) noexcept {
        entries_of_owner empty;
        bool last = false;
        {
            owner_part& part = owners_[partition_of(n->owner)];
            std::lock_guard g{part.lock};
            const auto owner = part.owners.find(n->owner);
            if (owner == part.owners.end()) return;
            auto& his = owner->second;
            const auto i =
                std::ranges::find(his, n, [](const auto& e) -> const node_ptr& { return e.second; });
            if (i != his.end()) his.erase(i);
            last = his.empty();
            if (last) {
                empty.swap(his);
                part.owners.erase(owner);
            }
        }
        if (last) unlink(keeper);
    }

    key_part& part_of(std::size_t hash) const noexcept {
        // Mixed: the buckets of the part take the low bits.
        return keys_[(hash * 0x9E3779B97F4A7C15ULL >> 32) % keys_.size()];
    }

    std::vector<std::pair<pid, std::shared_ptr<const Value>>> living(const Key& key) const {
        return living(probe{key, Hash{}(key)});
    }
    std::vector<std::pair<pid, std::shared_ptr<const Value>>> living(const probe& wanted) const {
        std::vector<std::pair<pid, std::shared_ptr<const Value>>> found;
        const key_part& part = part_of(wanted.hash);
        std::shared_lock g{part.lock};
        const auto i = part.buckets.find(wanted);
        if (i == part.buckets.end()) return found;
        for (const node_ptr& n : i->second)
            if (is_alive(n->owner)) found.emplace_back(n->owner, n->value);
        return found;
    }

    /// Under the lock of the key's part: into `gone`, which is destroyed outside of it.
    void unlist(node_list& bucket, node& n, node_list& gone) noexcept {
        n.listed.store(false, std::memory_order_relaxed);
        gone.splice(gone.end(), bucket, n.at);
        size_.fetch_sub(1, std::memory_order_relaxed);
    }
    void unlist(node& n) noexcept {
        node_list gone;
        typename key_map::node_type empty;
        key_part& part = part_of(n.key->hash);
        std::unique_lock g{part.lock};
        if (!n.listed.load(std::memory_order_relaxed)) return;
        const auto i = part.buckets.find(n.key);
        unlist(i->second, n, gone);
        if (i->second.empty()) empty = part.buckets.extract(i);
        g.unlock();
    }

    mutable std::vector<key_part> keys_;
    std::vector<owner_part> owners_;
    std::atomic<std::size_t> size_{0};
};

/// The text of a key that has one.
template <class Key>
std::string text_of_key(const Key& k) {
    if constexpr (std::is_convertible_v<const Key&, std::string_view>)
        return '/' + std::string{std::string_view{k}};
    else if constexpr (std::is_arithmetic_v<Key>)
        return '/' + std::to_string(k);
    else
        return {};
}

template <class Table, class Key, class Value>
struct registry_via final : via_target {
    std::shared_ptr<Table> table;
    Key key;
    Value value;

    registry_via(std::shared_ptr<Table> t, Key k, Value v)
        : table(std::move(t)), key(std::move(k)), value(std::move(v)) {}

    std::optional<exit_reason> register_self() const override {
        try {
            const auto r = table->add(key, value);
            if (r) return {};
            return exit_reason::error("already started: the name " + text() + " belongs to " +
                                      to_string(r.error().owner));
        } catch (...) {
            return exit_reason::from_exception(std::current_exception());
        }
    }
    void unregister_self() const override { table->remove(key); }
    pid whereis() const override { return table->whereis(key); }
    bool same_as(const via_target& other) const override {
        auto* o = dynamic_cast<const registry_via*>(&other);
        return o && o->table == table && o->key == key;
    }
    std::string text() const override { return table->name() + text_of_key(key); }
};

} // namespace detail

/// A registry, as Elixir's: processes register themselves under keys, with a value; others look them up. A handle: copies
/// lead to the same registry. Make it, give it to a supervisor, and capture it wherever it is used:
///
///     registry<std::string> rooms{"rooms"};                       // unique keys, no values
///     registry<std::string, int, registry_keys::duplicate> topics{"topics", {.partitions = 4}};
///     supervisor top{strategy::one_for_one, {child(rooms), child(topics), child<room>(via(rooms, "lobby"))}};
///
/// **Ends.** A key is free, and its entries are gone for all that look, before anybody hears of its owner's end (by link or
/// monitor). `count` and the memory follow a moment later. The registry and those that have keys are linked: when it ends, or
/// one of its processes crashes, they end, unless they trap exits, and all entries are gone.
///
/// **Threads.** All functions may be called from any process, those that register, unregister and update only for the caller
/// itself. All take constant time for one entry. No lock is held while functions given by the user, or copies, moves and
/// destructors of keys and values run; operator== of keys runs under one.
///
/// A registry serves one runtime at a time.
template <class Key, class Value = std::monostate, registry_keys Keys = registry_keys::unique,
          class Hash = std::hash<Key>>
class registry {
    static_assert(std::is_copy_constructible_v<Key> && std::equality_comparable<Key>,
                  "genever: a registry's keys must be copyable and comparable with ==");
    static_assert(std::is_invocable_r_v<std::size_t, Hash, const Key&>,
                  "genever: a registry's keys must be hashable: specialise std::hash, or name a Hash");
    static_assert(std::is_copy_constructible_v<Value>,
                  "genever: a registry's values must be copyable: who looks them up gets copies");
    using table_type = detail::registry_table<Key, Value, Keys, Hash>;

public:
    using entry = registry_entry<Value>;

    /// `name`: of the process that supervises it. Throws std::invalid_argument for 0 partitions.
    explicit registry(std::string name, registry_options o = {})
        : table_(std::make_shared<table_type>(std::move(name), o)) {}

    const std::string& name() const noexcept { return table_->name(); }

    /// Registers the calling process under a key. With unique keys fails while another living process, or this one, has it.
    /// Throws std::runtime_error when the registry does not run.
    std::expected<void, already_registered> register_key(Key key, Value value = {}) const {
        return table_->add(std::move(key), std::move(value));
    }
    /// Takes all entries of the calling process under a key away; how many there were.
    std::size_t unregister_key(const Key& key) const { return table_->remove(key); }

    /// The entries under a key, those with duplicate keys in the order of registration.
    std::vector<entry> lookup(const Key& key) const { return table_->lookup(key); }
    /// Who has a unique key; `pid{}`: nobody.
    pid whereis(const Key& key) const {
        static_assert(Keys == registry_keys::unique,
                      "genever: whereis is for registries with unique keys: use lookup");
        return table_->whereis(key);
    }
    /// Calls `f` with the entries under a key (std::span<const entry>) in the calling process, unless there are none: to
    /// send each a message. A coroutine is awaited by who gets the result.
    template <class F>
    void dispatch(const Key& key, F&& f) const {
        static_assert(std::is_invocable_v<F, std::span<const entry>>,
                      "genever: dispatch takes a callable for a std::span of the entries");
        static_assert(!detail::is_task<std::invoke_result_t<F, std::span<const entry>>>,
                      "genever: dispatch calls a plain function; a coroutine takes what lookup gives");
        const auto found = table_->lookup(key);
        if (!found.empty()) std::invoke(std::forward<F>(f), std::span<const entry>{found});
    }

    /// The keys of a process, in no particular order; duplicate ones as often as they were registered.
    std::vector<Key> keys(pid owner) const { return table_->keys(owner); }
    /// The values of a process under a key.
    std::vector<Value> values(const Key& key, pid owner) const { return table_->values(key, owner); }
    /// Replaces the value of the calling process under a unique key by `f(old)`. The new one and the old one; nothing if the
    /// key is not the caller's.
    template <class F>
    std::optional<std::pair<Value, Value>> update_value(const Key& key, F&& f) const {
        static_assert(Keys == registry_keys::unique,
                      "genever: update_value is for registries with unique keys");
        static_assert(std::is_invocable_r_v<Value, F, const Value&>,
                      "genever: update_value takes a callable that makes the new value from the old one");
        return table_->update(key, std::forward<F>(f));
    }
    /// How many entries there are. Those of a process that has ended may still count for a moment.
    std::size_t count() const noexcept { return table_->count(); }

    /// Starts it, linked to the calling process.
    task<start_result> start_link() const { return detail::start_registry(table_); }

    friend bool operator==(const registry&, const registry&) noexcept = default;

private:
    template <class K, class V, class H>
    friend via_name via(const registry<K, V, registry_keys::unique, H>& r, std::type_identity_t<K> key,
                        std::type_identity_t<V> value);

    std::shared_ptr<table_type> table_;
};

/// A registry as a child of a supervisor: of type supervisor, with an infinite shutdown.
template <class Key, class Value, registry_keys Keys, class Hash>
child_spec child(registry<Key, Value, Keys, Hash> r) {
    std::string name = r.name();
    return child_spec(std::move(name), [r = std::move(r)] { return r.start_link(); })
        .type(child_type::supervisor)
        .shutdown(infinity);
}

/// The name of a server under a key of a registry with unique keys (via_name.hpp); the server registers itself with `value`.
template <class Key, class Value, class Hash>
via_name via(const registry<Key, Value, registry_keys::unique, Hash>& r, std::type_identity_t<Key> key,
             std::type_identity_t<Value> value = {}) {
    using table = detail::registry_table<Key, Value, registry_keys::unique, Hash>;
    return via_name{std::make_shared<const detail::registry_via<table, Key, Value>>(r.table_, std::move(key),
                                                                                    std::move(value))};
}
template <class Key, class Value, class Hash, class... Rest>
via_name via(const registry<Key, Value, registry_keys::duplicate, Hash>&, Rest&&...) {
    static_assert(sizeof(Key) == 0, "genever: a via name needs a registry with unique keys");
    return via_name{nullptr};
}

} // namespace genever
