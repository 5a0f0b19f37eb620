// For the tests of blocking calls.
#pragma once

#include <atomic>
#include <future>
#include <memory>

namespace genever::test {

/// Counts how many of its copies live.
struct counted {
    explicit counted(std::atomic<int>& n) : n_(&n) { ++n; }
    counted(const counted& o) : n_(o.n_) { ++*n_; }
    counted& operator=(const counted&) = delete;
    ~counted() { --*n_; }
    std::atomic<int>* n_;
};

/// Opened once; whoever waits at it blocks its thread. It may be destroyed as soon as one who waited has gone on.
class gate {
public:
    void open() {
        const auto s = state_;
        s->opened.set_value();
    }
    void wait() {
        const auto s = state_;
        s->seen.wait();
    }

private:
    struct state {
        std::promise<void> opened;
        std::shared_future<void> seen = opened.get_future().share();
    };
    std::shared_ptr<state> state_ = std::make_shared<state>();
};

} // namespace genever::test
