// One connection: reads requests, has them handled, writes responses (HTTP/1.1, RFC 9112).
//
//        ┌──────────────── keep-alive ───────────────────┐
//        ▼                                                │
//      warm ──bytes──▶ head ──complete──▶ handling ──▶ responding ──close──▶ lingering ──▶ end
//      ▲ │               │ failed, late    │    │ late, refused  ▲              ▲
//      │ ├─ drain, late, │                 │    └────── 503 ─────┤              │
//      │ │  peer gone    └───────── error response ──────────────┴──────────────┘
//      │ │     └─▶ end ◀────── peer gone ──┘                                    │
//      │ └─no bytes for a while──▶ idle: without this object ──late─────────────┘
//      └──────bytes, drain───────────┘
//
// All of it is one process (`serve_client`), linked to the server's `connections` unless it has been detached. The handler
// runs in it, behind a barrier: what it throws becomes a 500 and a crash report, and the connection goes on.
#pragma once

#include "accepted_client.hpp"
#include "buffer.hpp"
#include "request_parser.hpp"

#include <genever/http/exchange.hpp>
#include <genever/net/tcp.hpp>
#include <genever/runtime/posted_send.hpp>

#include <cstdint>
#include <memory>
#include <string>

namespace genever::http {

/// What serves a client while it asks. Used in the client's process, by which it is outlived.
class connection final : public exchange, public detail::pooled {
public:
    explicit connection(accepted_client& client);
    /// Sends what was left to the worker to be sent, as far as that does not have to be waited for.
    ~connection();

    using after = after_serving;
    /// Serves requests until none has come for a while, or the connection ends.
    task<after> serve();
    /// Serves none: ends the connection, as `linger` does.
    task<after> end();
    /// Ends the connection so that the client gets all of the last response.
    task<> linger();

    bool admit(traffic_class& c) override;
    bool admit() override { return admit(server_.admission.other()); }
    using exchange::read_body;
    task<std::expected<std::string_view, body_error>> read_body(std::size_t limit) override;
    task<std::expected<std::string_view, body_error>> read_body() override;
    task<std::expected<void, send_error>> send_piece(std::string_view piece) override;
    bool head_sent() const noexcept override { return head_sent_; }
    void detach() override;

private:
    /// How an attempt to get more bytes ended.
    enum class fill : std::uint8_t { bytes, end, timeout };

    // The head, and the way to it.
    bool parse_head(time_point& deadline);
    fill read_now(std::span<char> room) noexcept;
    task<fill> wait_for_bytes(std::span<char> room, time_point deadline);
    void begin_request() noexcept;
    /// `head_in_use`: the handler may still look at the request.
    bool may_keep_alive(bool head_in_use);

    // The handler.
    void replace_response(int status, std::string_view body);
    bool had_its_turn() const noexcept;
    time_point handler_deadline(time_point began) const noexcept;
    task<bool> wait_for_a_place();
    bool ask(traffic_class& c, bool may_wait);
    bool append_refusal();
    bool answer_timeout();

    // What comes after the handler.
    bool recover(const std::exception_ptr& thrown);
    bool finish_response();
    task<bool> discard_body();
    void end_request() noexcept;
    void refuse(int status, std::string_view reason);

    // The body.
    duration body_patience(std::size_t come, duration waited) const noexcept;
    std::span<char> body_room();
    input_buffer& body_source() noexcept { return body_apart_ ? body_in_ : in_; }

    // Writing.
    bool flush_now() noexcept;
    bool post(time_point time) noexcept;
    void settle() noexcept;
    void wrote_all() noexcept;
    task<bool> flush();
    duration patience() const noexcept;
    send_error why_broken() const noexcept { return late_ ? send_error::timeout : send_error::disconnected; }

    accepted_client& client_;
    server_state& server_;
    const server_options& options_;
    net::tcp_stream& stream_;
    request_parser parser_;
    http::request request_;
    http::response response_;

    input_buffer in_;      // the head and, while it has room, what follows
    input_buffer body_in_; // what follows when the head's block is full: the head must not move
    std::string body_;     // the decoded body, once it is asked for
    std::string out_;
    const std::string peer_address_;
    std::size_t written_ = 0;   // of out_
    posted_send posted_;        // the rest of out_, while the next request is waited for
    std::uint64_t flushed_ = 0; // bytes since the last request's begin, without those of out_
    duration waited_{};         // for the client to read, since then

    // Admission.
    admission_control::permit permit_;
    const traffic_class* class_ = nullptr; // of the request that was admitted; null: it did not ask
    // When the last request began to be handled, or when what was waited for after that came.
    time_point handled_at_{};
    time_point turn_began_{}; // when the first of those that came together did
    time_point came_at_{};    // when the next one was there, where others had their turn before it
    duration queued_{};       // how long the last whose wait could be measured had waited for the server
    traffic_class* waits_for_ = nullptr; // the class that may have a place in a moment
    time_point asked_at_{};              // when it was asked first
    bool may_wait_ = false;              // the handler has been called, and has done nothing yet
    bool measured_ = false;              // that is the present one's
    bool fresh_turn_ = true;             // others have had their turn since the last one
    bool client_slow_ = false;           // the handler has waited for its client
    refusal refused_ = refusal::none;

    bool came_back_ = false; // what is left of out_ has been posted before
    bool drained_ = false; // the last read gave less than it could have: there is nothing until the next edge
    bool body_apart_ = false;
    bool body_asked_ = false; // the client has been told to go on, or did not wait for that
    bool body_done_ = false;  // the request's last byte has been consumed
    bool body_kept_ = false;  // body_ is the whole body
    bool close_ = false;      // no further request on this connection
    bool head_sent_ = false;
    bool told_close_ = false; // in that head
    bool broken_ = false;     // the peer can no longer be written to
    bool late_ = false;       // because it did not read in time
    bool detached_ = false;
    std::uint8_t streamed_ = 0;
};

} // namespace genever::http
