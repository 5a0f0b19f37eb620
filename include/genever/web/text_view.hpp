// A string_view that becomes a std::string wherever one is wanted.
#pragma once

#include <string>
#include <string_view>

namespace genever::web {

/// A view of a part of the request, as long-lived as what it came from. It is a std::string_view, and
/// converts to a std::string, which copies, without ceremony: what is sent to another process has to own
/// its text.
class text_view : public std::string_view {
public:
    using std::string_view::string_view;
    constexpr text_view(std::string_view s) noexcept : std::string_view(s) {}
    operator std::string() const { return {data(), size()}; }
};

} // namespace genever::web
