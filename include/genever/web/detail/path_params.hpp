// A matched path's parameters, without their names.
#pragma once

#include <cstddef>
#include <string_view>

namespace genever::web::detail {

/// Up to 16 views, left uninitialised until they are put: a request pays only for those that it has.
class path_params {
public:
    static constexpr std::size_t capacity = 16;

    path_params() noexcept {}
    path_params(const path_params& o) noexcept { *this = o; }
    path_params& operator=(const path_params& o) noexcept {
        size_ = o.size_;
        for (std::size_t i = 0; i < size_; ++i) views_[i] = o.views_[i];
        return *this;
    }

    std::size_t size() const noexcept { return size_; }
    std::string_view operator[](std::size_t i) const noexcept { return {views_[i].data, views_[i].size}; }
    void put(std::size_t i, std::string_view v) noexcept { views_[i] = {v.data(), v.size()}; }
    /// The first `n` have been put.
    void resize(std::size_t n) noexcept { size_ = n; }

private:
    struct view {
        const char* data;
        std::size_t size;
    };
    std::size_t size_ = 0;
    view views_[capacity];
};

} // namespace genever::web::detail
