#include "http/admission/refusal_text.hpp"

#include <algorithm>
#include <chrono>

namespace genever::http {

refusal_text::refusal_text(duration retry_after) {
    constexpr std::string_view body = R"({"error":{"status":503,"message":"overloaded: try again later"}})";
    const auto seconds =
        std::max(std::chrono::ceil<std::chrono::seconds>(retry_after), std::chrono::seconds{1});
    for (unsigned i = 0; i < texts_.size(); ++i) {
        const bool close = (i & 4U) != 0;
        const bool head = (i & 2U) != 0;
        const bool http_1_0 = (i & 1U) != 0;
        std::string& text = texts_[i];
        text = "HTTP/1.1 503 Service Unavailable\r\nRetry-After: " + std::to_string(seconds.count()) +
               "\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: " +
               std::to_string(body.size()) + "\r\n";
        if (close)
            text += "Connection: close\r\n";
        else if (http_1_0)
            text += "Connection: keep-alive\r\n";
        text += "\r\n";
        if (!head) text += body;
    }
}

} // namespace genever::http
