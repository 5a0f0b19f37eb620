// What travels between processes: a value in an envelope, and the system's own messages.
#pragma once

#include <genever/base/exit_reason.hpp>
#include <genever/base/pid.hpp>
#include <genever/base/pool.hpp>

#include <cstdint>
#include <memory>
#include <type_traits>
#include <typeinfo>
#include <utility>

namespace genever {

/// Names one monitor. Its `down` message carries it.
struct monitor_ref {
    std::uint64_t value = 0;
    friend bool operator==(monitor_ref, monitor_ref) noexcept = default;
};

/// Tells a process that traps exits (`trap_exit(true)`) that a linked process has ended, or that somebody
/// called `exit(pid, reason)` for it.
struct exit_signal {
    pid from;
    exit_reason reason;
};

/// Tells the watcher that the process it monitors has ended. `reason` is `noproc` where it was dead already.
struct down {
    monitor_ref ref;
    genever::pid pid;
    exit_reason reason;
};

namespace detail {

struct message;

/// What the runtime knows of the messages of one type. One object for each type: its address is the type's
/// identity.
struct message_type {
    const std::type_info* payload;
    /// Ends the message without delivery: the receiver died first, or nobody wanted it.
    void (*drop)(message*, const exit_reason&) noexcept;
};

/// The head of every message. A message has one owner at any time: the sender, then the mailbox, then the
/// receiver.
struct message {
    message* next = nullptr;
    const message_type* type;

    explicit message(const message_type* t) noexcept : type(t) {}
    message(const message&) = delete;
    message& operator=(const message&) = delete;
};

struct drop_message {
    void operator()(message* m) const noexcept { m->type->drop(m, exit_kind::normal); }
};
using message_ptr = std::unique_ptr<message, drop_message>;

/// Blocks of messages come from the pool.
template <class Node, class... Args>
Node* new_message(Args&&... args) {
    void* block = pool_allocate(sizeof(Node));
    try {
        return ::new (block) Node(std::forward<Args>(args)...);
    } catch (...) {
        pool_free(block, sizeof(Node));
        throw;
    }
}
template <class Node>
void delete_message(Node* n) noexcept {
    n->~Node();
    pool_free(n, sizeof(Node));
}

/// A plain value on its way.
template <class T>
struct value_message final : message {
    T value;

    template <class U>
    explicit value_message(U&& v) : message(&type_of), value(std::forward<U>(v)) {}

    static void drop(message* m, const exit_reason&) noexcept {
        delete_message(static_cast<value_message*>(m));
    }
    static constexpr message_type type_of{&typeid(T), &drop};
};

/// A list of messages, first in, first out. Owns nothing: whoever holds it ends what is left.
struct message_list {
    message* first = nullptr;
    message* last = nullptr;

    bool empty() const noexcept { return first == nullptr; }
    void push_back(message* m) noexcept {
        m->next = nullptr;
        (first ? last->next : first) = m;
        last = m;
    }
    message* pop_front() noexcept {
        message* m = first;
        first = m->next;
        return m;
    }
    void append(message_list& o) noexcept {
        if (o.empty()) return;
        (first ? last->next : first) = o.first;
        last = o.last;
        o.first = nullptr;
    }
    /// Takes out `m`, which follows `before` (null: it is the first).
    void remove(message* before, message* m) noexcept {
        (before ? before->next : first) = m->next;
        if (last == m) last = before;
    }
};

} // namespace detail
} // namespace genever
