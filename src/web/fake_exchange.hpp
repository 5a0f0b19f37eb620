// An exchange without a connection, for the tests of this room.
#pragma once

#include <genever/http/exchange.hpp>
#include <genever/runtime/process.hpp>
#include <genever/runtime/simulation.hpp>

#include <cstdint>
#include <expected>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace genever::web::test {

struct exchange_parts {
    std::string target_;
    std::vector<http::field> fields_;
    http::request request_;
    http::response response_;
};

class fake_exchange final : private exchange_parts, public http::exchange {
public:
    /// The fields' views must outlive this.
    explicit fake_exchange(http::method m, std::string_view target,
                           std::initializer_list<http::field> fields = {})
        : http::exchange(request_, response_, "192.0.2.7") {
        target_ = target;
        fields_ = fields;
        request_.method = m;
        request_.target = target_;
        const std::size_t mark = request_.target.find('?');
        request_.path = request_.target.substr(0, mark);
        if (mark != request_.target.npos) request_.query = request_.target.substr(mark + 1);
        request_.fields = fields_;
    }

    task<std::expected<std::string_view, http::body_error>> read_body(std::size_t limit) override {
        // A real one has to wait here more often than not.
        co_await yield();
        if (failure) co_return std::unexpected(*failure);
        if (body.size() > limit) co_return std::unexpected(http::body_error::too_large);
        co_return std::string_view{body};
    }
    task<std::expected<std::string_view, http::body_error>> read_body() override { return read_body(1024); }
    task<std::expected<void, http::send_error>> send_piece(std::string_view piece) override {
        co_await yield();
        sent_head = true;
        pieces.emplace_back(piece);
        co_return std::expected<void, http::send_error>{};
    }
    bool head_sent() const noexcept override { return sent_head; }
    void detach() override {}
    bool admit(http::traffic_class& c) override {
        asked = &c;
        return admits;
    }
    bool admit() override { return admits; }

    std::string body;
    std::optional<http::body_error> failure;
    std::vector<std::string> pieces;
    bool sent_head = false;
    bool admits = true;
    http::traffic_class* asked = nullptr; // by whose rules
};

/// Answers `x` with `h` in a process of a simulation.
inline void serve(const http::handler& h, http::exchange& x) {
    simulation sim{1};
    sim.run([&]() -> task<> { co_await h(x); });
}

/// A request's answer as "status body".
inline std::string answer(const http::handler& h, http::method m, std::string_view target) {
    fake_exchange x{m, target};
    serve(h, x);
    std::string out = std::to_string(x.response.status);
    if (!x.response.body.empty()) out += " " + x.response.body;
    return out;
}
inline std::string get(const http::handler& h, std::string_view target) {
    return answer(h, http::method::get, target);
}

} // namespace genever::web::test
