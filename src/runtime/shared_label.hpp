// What a process is called: text that thousands of processes share.
#pragma once

#include <genever/base/pool.hpp>

#include <atomic>
#include <cstddef>
#include <new>
#include <string>
#include <string_view>
#include <utility>

namespace genever::detail {

/// A text that does not change, shared by its copies: one pointer each. An empty one takes no memory. Any thread may end a copy.
class shared_label {
public:
    shared_label() noexcept = default;
    explicit shared_label(std::string_view text) {
        if (text.empty()) return;
        text_ = new (pool_allocate(sizeof(header) + text.size())) header{{1}, text.size()};
        text.copy(reinterpret_cast<char*>(text_ + 1), text.size());
    }
    shared_label(const shared_label& o) noexcept : text_(o.text_) {
        if (text_) text_->copies.fetch_add(1, std::memory_order_relaxed);
    }
    shared_label(shared_label&& o) noexcept : text_(std::exchange(o.text_, nullptr)) {}
    shared_label& operator=(shared_label o) noexcept {
        std::swap(text_, o.text_);
        return *this;
    }
    ~shared_label() {
        // acq_rel: the last one sees all that the others did with it
        if (text_ && text_->copies.fetch_sub(1, std::memory_order_acq_rel) == 1) pool_free(text_, bytes());
    }

    /// Of who starts many processes of a kind: the label that this thread asked for last is shared.
    static shared_label for_one_more(std::string_view text) {
        if (text.empty()) return {};
        shared_label* const last = last_of_thread();
        if (!last) return shared_label{text};
        if (last->view() != text) *last = shared_label{text};
        return *last;
    }

    std::string_view view() const noexcept {
        return text_ ? std::string_view{reinterpret_cast<const char*>(text_ + 1), text_->size}
                     : std::string_view{};
    }
    std::string str() const { return std::string{view()}; }
    /// What it takes beside the pointer, unless others share that.
    std::size_t bytes_alone() const noexcept {
        return text_ && text_->copies.load(std::memory_order_relaxed) == 1 ? bytes() : 0;
    }

private:
    struct header { // before the text
        std::atomic<std::size_t> copies;
        std::size_t size;
    };
    std::size_t bytes() const noexcept { return sizeof(header) + text_->size; }

    /// Null when the thread is about to end, and has done with what is its own.
    [[gnu::noinline]] static shared_label* last_of_thread() noexcept {
        asm volatile(""); // a thread_local's address must not be kept across a suspension
        thread_local bool over = false;
        struct holder {
            shared_label label;
            ~holder() { over = true; }
        };
        if (over) return nullptr;
        thread_local holder last;
        return &last.label;
    }

    header* text_ = nullptr;
};

} // namespace genever::detail
