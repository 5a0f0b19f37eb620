// The response of what is not admitted: the same bytes every time.
#pragma once

#include <genever/base/clock.hpp>

#include <array>
#include <string>
#include <string_view>

namespace genever::http {

/// `503` with `Retry-After` and an error as JSON, made once. It has no `Date`, which RFC 9110 section 6.6.1 leaves to the server in
/// a 5xx.
class refusal_text {
public:
    /// `retry_after` is told in whole seconds, rounded up, at least one.
    explicit refusal_text(duration retry_after);

    /// For a response after which the connection ends; for one to HEAD, which has no content (RFC 9110 section 9.3.2); for an
    /// HTTP/1.0 client, who has to be told that the connection does not end.
    std::string_view get(bool close, bool head, bool http_1_0) const noexcept {
        return texts_[(close ? 4U : 0U) + (head ? 2U : 0U) + (http_1_0 ? 1U : 0U)];
    }

private:
    std::array<std::string, 8> texts_;
};

} // namespace genever::http
