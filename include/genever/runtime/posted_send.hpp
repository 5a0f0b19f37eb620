// Bytes that a worker sends together with others'.
#pragma once

#include <genever/base/clock.hpp>
#include <genever/runtime/io.hpp>

#include <atomic>
#include <cstddef>
#include <string_view>

namespace genever {

namespace detail {
class send_batch;
} // namespace detail

/// A send that is left to the worker, which hands what its processes have posted to the system with one call (io_uring)
/// before it looks at its descriptors again. For who has an answer ready and waits for the next question:
///
///     if (!posted.post(io, bytes, now())) ...;   // send it yourself
///     co_await io.readable();
///     sent = posted.settle();                    // the rest is yours to send: it is not to be posted again
///
/// Where less than all could be sent, the wait for reading is ended as by `nudge`. (A rest that was posted again would end
/// the next wait at once, for as long as the peer does not read.) The bytes must stay as they are, and the handle open, until
/// `settle` or the destructor. Used by one process.
class posted_send {
public:
    posted_send() noexcept = default;
    posted_send(const posted_send&) = delete;
    ~posted_send() { settle(); }

    /// Posts `bytes`. `now`: the time, as far as the caller knows it. False, and nothing has happened: something is posted
    /// already; the system has no io_uring, or forbids it, or the runtime does not use it (`runtime_options::io_uring`), or
    /// this was the first try on its worker; nothing else waits for the worker, which could not collect anything; or its
    /// processes take so long these days that the answer of one would wait for the next one's.
    ///
    /// What is posted leaves with the sixteenth, with one that is posted more than 0.1 ms later, or when the worker looks at
    /// its descriptors: two milliseconds or so later at most, and after the process that runs then; where that one is stuck,
    /// after two to four.
    bool post(const io_handle& to, std::string_view bytes, time_point now) noexcept;
    /// Whether something has been posted since the last `settle`.
    explicit operator bool() const noexcept { return batch_ != nullptr; }
    /// Takes back what has not been sent yet. How many bytes have been; 0 when nothing was posted.
    std::size_t settle() noexcept;

private:
    friend class detail::send_batch;

    detail::send_batch* batch_ = nullptr;
    detail::io_slot* slot_ = nullptr;
    std::string_view bytes_;
    std::size_t sent_ = 0;
    std::atomic<bool> over_{false}; // the batch has let go of it
};

} // namespace genever
