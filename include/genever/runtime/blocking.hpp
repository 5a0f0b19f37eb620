// Running what blocks off the workers: a call into a library that waits, a file, a long computation.
#pragma once

#include <genever/base/stack_trace.hpp>
#include <genever/runtime/detail/process.hpp>
#include <genever/runtime/task.hpp>

#include <coroutine>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>
#include <variant>

namespace genever {

namespace detail {

/// An exception on its way to another thread, with the stack of its throw.
class blocking_failure {
public:
    /// Keeps the exception that is being handled. Call it on the thread that threw.
    void keep_current() noexcept;
    /// The trace goes on to the calling thread: a crash report there shows it.
    void rethrow_if_any();

private:
    std::exception_ptr error_;
    std::unique_ptr<stack_trace> trace_;
};

/// What a callable left: first on the thread that ran it, then in the awaiter.
template <class R>
struct blocking_outcome {
    std::optional<std::conditional_t<std::is_void_v<R>, std::monostate, R>> value;
    blocking_failure failure;
};

/// One call, owned by the pool from its submission to the end of `run`.
class blocking_job {
public:
    blocking_job() = default;
    blocking_job(const blocking_job&) = delete;
    blocking_job& operator=(const blocking_job&) = delete;
    virtual ~blocking_job() = default;
    virtual void run() noexcept = 0;

    wait_ticket ticket;           // who waits
    blocking_job* next = nullptr; // the pool's, while queued
};

/// Whether the suspension is still there and not about to be destroyed; may be past when it is read.
bool still_waits(wait_ticket t) noexcept;

enum class job_wait : std::uint8_t {
    begun,    ///< the process parks until the job has answered
    failed,   ///< that cannot be: `failure` says why
    elsewhere ///< the job needs a new thread, which must not be started by this one: try again on another
};
/// Gives the job to the pool. It is the caller's still when it is to be tried elsewhere.
job_wait wait_for_job(process& p, std::coroutine_handle<> h, std::unique_ptr<blocking_job>& job,
                      blocking_failure& failure) noexcept;

template <class F>
class callable_job final : public blocking_job {
public:
    using result = std::invoke_result_t<F>;

    template <class G>
    explicit callable_job(G&& f) : f_(std::in_place, std::forward<G>(f)) {}

    // The answer goes the way of a server's (otp/detail/server_message.hpp): claim, write, release. A claim that
    // fails finds the waiting process gone on or dead, and its frame, hence `to`, is not touched.
    void run() noexcept override {
        if (!still_waits(ticket)) return; // killed or late while it was queued: no use in starting
        blocking_outcome<result> left;
        try {
            if constexpr (std::is_void_v<result>) {
                std::invoke(std::move(*f_));
                left.value.emplace();
            } else {
                left.value.emplace(std::invoke(std::move(*f_)));
            }
        } catch (...) {
            left.failure.keep_current();
        }
        f_.reset();
        if (!claim(ticket)) return;
        process& waiting = *ticket.p;
        if (left.value) {
            try {
                to->value.emplace(std::move(*left.value));
            } catch (...) {
                to->failure.keep_current();
            }
            left.value.reset();
        } else {
            to->failure = std::move(left.failure);
        }
        release_claim(waiting);
    }

    blocking_outcome<result>* to = nullptr; // lies in the awaiter

private:
    std::optional<F> f_;
};

/// A call that is to be awaited once. `Safe`: also GCC 12 may make it inside the co_await expression.
template <class F, bool Safe>
class [[nodiscard("co_await it")]] blocking_call : mail_waiter {
public:
    using result = typename callable_job<F>::result;
    static_assert(!std::is_reference_v<result>,
                  "genever: what blocking(f) calls must return a value: f is gone when its result arrives");

    template <class G>
    explicit blocking_call(std::in_place_t, G&& f)
        : job_(std::make_unique<callable_job<F>>(std::forward<G>(f))) {}
    blocking_call(const blocking_call&) = delete;
    blocking_call& operator=(const blocking_call&) = delete;
    ~blocking_call() = default;

    struct awaiter {
        blocking_call* call; // GCC 12 copies an awaiter that operator co_await returns by reference

        bool await_ready() const noexcept { return false; }
        template <task_promise_type P>
        bool await_suspend(std::coroutine_handle<P> h) const noexcept {
            blocking_call& c = *call;
            auto& p = static_cast<process&>(*h.promise().self);
            if (c.job_) c.job_->to = &c.outcome_;
            c.leaf_ = h;
            c.over = [](mail_waiter& w, process& self) noexcept {
                auto& again = static_cast<blocking_call&>(w);
                if (again.begin(self)) return false;
                self.resume_point = again.leaf_;
                return true;
            };
            return c.begin(p);
        }
        result await_resume() const {
            call->outcome_.failure.rethrow_if_any();
            if constexpr (!std::is_void_v<result>) return std::move(*call->outcome_.value);
        }
    };
    awaiter operator co_await() & noexcept { return {this}; }
    awaiter operator co_await() && noexcept {
        static_assert(Safe,
                      "genever: GCC 12 miscompiles a callable that owns something (captures by value) inside "
                      "co_await blocking(...): give the call a name first, auto call = blocking([x] {...}); "
                      "co_await call");
        return {this};
    }

private:
    /// Begins the wait for the job, or for the next turn, which is another thread's. False: it has failed.
    bool begin(process& p) noexcept {
        std::unique_ptr<blocking_job> job = std::move(job_);
        const job_wait how = wait_for_job(p, leaf_, job, outcome_.failure);
        if (how != job_wait::elsewhere) return how == job_wait::begun;
        job_.reset(static_cast<callable_job<F>*>(job.release()));
        p.resume_point = leaf_;
        wait_for_mail(p, *this, parking::requeue);
        return true;
    }

    std::unique_ptr<callable_job<F>> job_;
    blocking_outcome<result> outcome_;
    std::coroutine_handle<> leaf_;
};

#if defined(__GNUC__) && !defined(__clang__) && __GNUC__ < 13
template <class F>
inline constexpr bool safe_in_co_await = std::is_lvalue_reference_v<F> || std::is_trivially_destructible_v<F>;
#else
template <class F>
inline constexpr bool safe_in_co_await = true;
#endif

} // namespace detail

/// Runs the plain callable `f()` on a thread of the runtime's pool for blocking calls, while the calling process waits
/// parked and its worker runs others. `co_await` gives the result (a value or void) or rethrows the exception that left
/// `f`; a crash report shows the stack of its throw.
///
///     auto text = co_await blocking([&path] { return read_file(path); });   // no kill, no deadline reaches here
///
///     auto read = blocking([path] { return read_file(path); });             // else: let the call own what it uses
///     auto text = co_await read;
///
/// **Lifetime.** `f` is moved into the call, which the pool owns; it is destroyed, with its captures, on the pool's
/// thread before the process goes on. A process that is killed, or whose deadline passes (`with_timeout`), while it
/// waits ends at once: `f` cannot be stopped, runs to its end, and what it leaves, result or exception, is
/// destroyed on the pool's thread. So what `f` takes by reference into the process's frames dangles then: capture by value
/// whatever may be killed or called off. A call that has not been started by that time never is.
///
/// **Threads.** They are started as they are needed, up to `runtime_options::blocking_threads`; calls beyond that are
/// queued, first in, first out. A thread that has had nothing to do for ten seconds ends. All signals but faults are blocked
/// in them. Where the system gives no thread at all, `co_await` throws std::system_error.
///
/// **Inside `f`** there is no process: `self()` is `pid{}`, whatever needs a process or a runtime (`spawn`, `receive`,
/// `register_name`, `send_after`) throws std::logic_error. `send`, `exit`, `is_alive`, `now` work as on any thread.
///
/// **The end of the runtime** waits for calls that are under way; those that are queued are dropped without being run.
///
/// **In a simulation** `f` runs at once, on the simulation's thread, and no virtual time passes; whether the process goes
/// on immediately or after others is the seed's choice. `f` must then not wait for another process.
///
/// Awaited once. To be used inside a process only.
template <class F>
    requires std::is_invocable_v<std::decay_t<F>>
detail::blocking_call<std::decay_t<F>, detail::safe_in_co_await<F>> blocking(F&& f) {
    static_assert(!detail::is_task<std::invoke_result_t<std::decay_t<F>>>,
                  "genever: blocking(f) runs a plain function: a coroutine is awaited, or spawned");
    return detail::blocking_call<std::decay_t<F>, detail::safe_in_co_await<F>>{std::in_place,
                                                                               std::forward<F>(f)};
}

} // namespace genever
