// Processes that somebody started and waits for together: what error_group, when_all and when_any have in common.
//
// One child:  counted in ──▶ spawned ──▶ entered (listed, so that it can be killed) ──▶ finished, failed, or killed
//                               │                                                            │
//                               └── the set was stopped meanwhile: it ends at once ──────────┴──▶ counted out
//
// It is counted in before it exists and out by a destructor in its frame, so the count is right however it ends. The
// first failure counts; what fails after that, or after the stop, is a consequence.
#pragma once

#include <genever/base/counted.hpp>
#include <genever/base/pid.hpp>
#include <genever/csp/detail/waiters.hpp>
#include <genever/runtime/task.hpp>

#include <coroutine>
#include <cstddef>
#include <exception>
#include <utility>

namespace genever::detail {

class child_share;

class child_set : public counted<child_set> {
public:
    virtual ~child_set() = default;
    static void destroy(child_set* s) noexcept { delete s; }

    /// Kills all children, each at its next suspension point, and lets none start any more. False: it was done before.
    bool stop() noexcept;
    /// Fails, unless it has failed before, and stops.
    void abandon(std::exception_ptr why) noexcept;
    /// Whether no child is left.
    bool all_have_ended() noexcept;
    /// The first failure, when all have ended.
    std::exception_ptr error() const noexcept { return error_; }

protected:
    child_set() noexcept = default;

    /// After the first failure, in the process that failed, or in the one whose wait is destroyed.
    virtual void on_failure(const std::exception_ptr&) noexcept {}

private:
    friend child_share;
    friend class children_wait;

    spinlock lock_;
    std::size_t running_ = 0;
    bool stopped_ = false;
    std::exception_ptr error_;
    child_share* first_ = nullptr; // those that have entered
    waiter_queue waiting_;
    wait_ticket leaving_; // whose wait is to be destroyed when all have ended
};

/// A child's part in its set. Lies in its frame; may be moved until it has entered.
class child_share {
public:
    /// Counts one child in.
    explicit child_share(child_set& s) noexcept;
    child_share(child_share&& o) noexcept : set_(std::exchange(o.set_, nullptr)) {}
    child_share& operator=(child_share&&) = delete;
    /// Counts it out; as failed, where it had entered and neither finished nor failed.
    ~child_share();

    /// The child's first step. False: it is to end at once.
    bool enter() noexcept;
    void finish() noexcept { settled_ = true; }
    void fail(std::exception_ptr e) noexcept;
    /// Finishes, and stops the set. False: another one has, or has failed, before.
    bool win() noexcept;
    child_set& set() const noexcept { return *set_; }

private:
    friend child_set;
    void unlist() noexcept;

    child_set* set_; // one reference
    pid pid_;
    child_share* previous_ = nullptr;
    child_share* next_ = nullptr;
    bool entered_ = false;
    bool listed_ = false; // under the set's lock, as the links
    bool settled_ = false;
};

/// The wait until all children of a set have ended. A kill or a deadline that destroys it stops the children first, and
/// waits for their end, too: their frames may refer to those of whoever waits.
class children_wait : lending_waiter {
public:
    explicit children_wait(ref<child_set> s) noexcept;
    children_wait(const children_wait&) = delete;
    children_wait& operator=(const children_wait&) = delete;
    ~children_wait();

protected:
    bool suspend(process& p, std::coroutine_handle<> h) noexcept;
    ref<child_set> set_;

private:
    static bool end_children(lending_waiter& w, process& p) noexcept;

    waiter me_;
};

} // namespace genever::detail
