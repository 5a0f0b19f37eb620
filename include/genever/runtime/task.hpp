// task<T>: a lazy coroutine, the unit in which everything that waits is written.
#pragma once

#include <genever/base/pool.hpp>
#include <genever/runtime/detail/fault_contract.hpp>

#include <coroutine>
#include <cstddef>
#include <exception>
#include <optional>
#include <type_traits>
#include <utility>

namespace genever {

template <class T = void>
class task;

namespace detail {

/// The head of a process's control block: what a coroutine needs in order to pass control on.
struct process_head {
    std::coroutine_handle<> resume_point; // what the process runs next; touched by its own thread only
};
struct process;

/// Makes `next` what the process runs when control is back in its worker's loop. Every call into a task and
/// every return from one goes through that loop, so that no chain of awaits, however long, grows the stack:
/// symmetric transfer would be a guaranteed tail call only with optimisation, and not under the sanitizers.
inline void transfer_to(process_head& p, std::coroutine_handle<> next) noexcept { p.resume_point = next; }

/// Memory for coroutine frames: the storage inside the process's control block when one is being spawned, else
/// the pool.
void* allocate_frame(std::size_t size);
void free_frame(void* frame, std::size_t size) noexcept;

struct promise_base {
    process_head* self = nullptr;         // the process in which the coroutine runs; set when it is started
    std::coroutine_handle<> continuation; // who awaits it; null for a process's root

    static void* operator new(std::size_t size) { return allocate_frame(size); }
    static void operator delete(void* frame, std::size_t size) noexcept { free_frame(frame, size); }

    std::suspend_always initial_suspend() const noexcept { return {}; }

    struct final_awaiter {
        bool await_ready() const noexcept { return false; }
        template <class P>
        void await_suspend(std::coroutine_handle<P> done) const noexcept {
            promise_base& p = done.promise();
            transfer_to(*p.self, p.continuation);
        }
        void await_resume() const noexcept {}
    };
    final_awaiter final_suspend() const noexcept { return {}; }
};

template <class T>
struct task_promise : promise_base {
    std::exception_ptr error;
    std::optional<T> value;

    task<T> get_return_object() noexcept;
    template <class U>
        requires std::is_constructible_v<T, U&&>
    void return_value(U&& v) noexcept(std::is_nothrow_constructible_v<T, U&&>) {
        value.emplace(std::forward<U>(v));
    }
    void unhandled_exception() noexcept { error = std::current_exception(); }
    T take() {
        if (error) [[unlikely]]
            std::rethrow_exception(std::move(error));
        return std::move(*value);
    }
};

template <>
struct task_promise<void> : promise_base {
    std::exception_ptr error;

    task<void> get_return_object() noexcept;
    void return_void() const noexcept {}
    void unhandled_exception() noexcept { error = std::current_exception(); }
    void take() {
        if (error) [[unlikely]]
            std::rethrow_exception(std::move(error));
    }
};

template <class P>
concept task_promise_type = std::is_base_of_v<promise_base, P>;

} // namespace detail

/// A lazy coroutine: it starts when it is awaited, in the awaiting process, and is awaited exactly once. Owns
/// its frame; destroying it (when the process is killed, as a rule) destroys the frame's locals at the point
/// where it is suspended, the innermost frame first.
///
/// `co_await` gives the result or rethrows the exception that left the coroutine. What is to run beside the
/// caller goes through `spawn` or `go`.
///
/// A default-constructed `task<>` stands for work that is done already: awaiting it costs nothing. (For a type
/// other than void that would have no result: such a task must not be awaited.)
///
/// A coroutine's reference parameters must outlive it: they do when the task is awaited in the expression that
/// makes it.
template <class T>
class [[nodiscard("a task does nothing until it is awaited: co_await it, or spawn it")]] task {
public:
    using promise_type = detail::task_promise<T>;
    using value_type = T;

    task() noexcept = default;
    explicit task(std::coroutine_handle<promise_type> frame) noexcept : frame_(frame) {}
    task(task&& o) noexcept : frame_(std::exchange(o.frame_, nullptr)) {}
    task& operator=(task&& o) noexcept {
        if (this != &o) {
            if (frame_) frame_.destroy();
            frame_ = std::exchange(o.frame_, nullptr);
        }
        return *this;
    }
    ~task() {
        if (frame_) frame_.destroy();
    }

    /// Whether this is the empty task: there is nothing to wait for.
    bool empty() const noexcept { return !frame_; }

    struct awaiter {
        std::coroutine_handle<promise_type> frame;

        bool await_ready() const noexcept { return std::is_void_v<T> && !frame; }
        template <detail::task_promise_type P>
        void await_suspend(std::coroutine_handle<P> caller) const noexcept {
            detail::promise_base& callee = frame.promise();
            callee.self = caller.promise().self;
            callee.continuation = caller;
            detail::transfer_to(*callee.self, frame);
        }
        T await_resume() const {
            if constexpr (std::is_void_v<T>) {
                if (frame) frame.promise().take();
            } else {
                return frame.promise().take();
            }
        }
    };
    /// The task must outlive the awaiting expression; a temporary does.
    awaiter operator co_await() && noexcept { return {frame_}; }

    /// For the runtime: makes the coroutine what `p` runs next; `caller` goes on when it has ended. The task keeps
    /// the frame, and its result.
    std::coroutine_handle<> start(detail::process_head& p, std::coroutine_handle<> caller) noexcept {
        frame_.promise().self = &p;
        frame_.promise().continuation = caller;
        detail::transfer_to(p, frame_);
        return frame_;
    }
    /// For the runtime: the result of a started task that has ended.
    T result() { return frame_.promise().take(); }
    /// For the runtime: gives the frame away.
    std::coroutine_handle<promise_type> release() noexcept { return std::exchange(frame_, nullptr); }

private:
    std::coroutine_handle<promise_type> frame_;
};

namespace detail {

template <class T>
task<T> task_promise<T>::get_return_object() noexcept {
    return task<T>{std::coroutine_handle<task_promise<T>>::from_promise(*this)};
}
inline task<void> task_promise<void>::get_return_object() noexcept {
    return task<void>{std::coroutine_handle<task_promise<void>>::from_promise(*this)};
}

template <class T>
inline constexpr bool is_task = false;
template <class T>
inline constexpr bool is_task<task<T>> = true;

} // namespace detail
} // namespace genever
