#include "connection.hpp"

#include "response_writer.hpp"
#include "server_processes.hpp"

#include <genever/base/exit_reason.hpp>
#include <genever/http/log_text.hpp>
#include <genever/otp/run.hpp>
#include <genever/runtime/for_peer.hpp>
#include <genever/runtime/process.hpp>
#include <genever/runtime/runtime.hpp>
#include <genever/runtime/time.hpp>

#include <algorithm>
#include <cstring>
#include <ctime>
#include <exception>

namespace genever::http {

using namespace std::chrono_literals;

namespace {

// How long a connection without a request keeps its memory, in case the next one is on its way. Taking it again costs about a
// microsecond; meanwhile thousands of clients that have asked once hold all of it.
constexpr duration warm_time = 100ms;
// What a client may still send after the response that ends the connection: closing at once would destroy the
// response on its way (RFC 9112 section 9.6).
constexpr duration linger_time = 1s;
constexpr std::size_t linger_bytes = 1024 * 1024;
// How long a client whose request has begun may pause once the server drains.
constexpr duration drain_patience = 2s;
// How long a client may keep a worker with requests that it has sent together before others have their turn.
constexpr duration longest_turn = 1ms;
// How much of a body that no handler wanted is read in order to keep the connection.
constexpr std::size_t discard_bytes = 256 * 1024;
// The same of one whose request was refused: less than a refusal costs.
constexpr std::size_t discard_refused_bytes = 16 * 1024;
// Responses to pipelined requests go out together up to this size.
constexpr std::size_t flush_at = 64 * 1024;
constexpr std::size_t flush_before_handling = 16 * 1024;

/// The Date field's value, made once a second on each thread.
[[gnu::noinline]] const date_text& current_date() noexcept {
    asm volatile(""); // a thread_local's address must not be kept across a suspension
    thread_local std::time_t second = -1;
    thread_local date_text text;
    if (const std::time_t now = std::time(nullptr); now != second) {
        second = now;
        text = http_date(now);
    }
    return text;
}

} // namespace

connection::connection(accepted_client& client)
    : exchange(request_, response_, {}), client_(client), server_(client.server()), options_(server_.options),
      stream_(client.member.stream()), parser_(options_.limits), peer_address_(client.peer.address()) {
    peer_ = peer_address_;
    // What the poller saw before the client went idle says nothing of the request that ends it.
    (client.is_new() ? came_at_ : handled_at_) = client.idle_since;
}

connection::~connection() {
    if (!posted_) return; // it is killed in its wait for the next request: the last answer is done
    settle();
    flush_now();
}

// Beyond the link's reach the connection still counts (its presence), so every drain of the server waits for it.
void connection::detach() {
    if (detached_) return;
    const spawn_options options{.label = "http detached connection's limit"};
    spawn(options, limit_detached, self(), options_.drain_timeout);
    unlink(client_.connections);
    stream_.io().keep_on_hangup();
    detached_ = true;
}

// ---- reading

connection::fill connection::read_now(std::span<char> room) noexcept {
    auto n = stream_.try_read(room);
    if (n) {
        drained_ = *n < room.size();
        body_source().filled(*n);
        return *n == 0 ? fill::end : fill::bytes;
    }
    drained_ = true;
    return n.error() == std::errc::operation_would_block ? fill::timeout : fill::end;
}

task<connection::fill> connection::wait_for_bytes(std::span<char> room, time_point deadline) {
    for (;;) {
        if (!drained_) {
            const fill f = read_now(room);
            if (f != fill::timeout) co_return f;
        }
        const server_state::client_wait w{client_.member};
        client_slow_ = true;
        const io_result r = co_await stream_.io().readable(
            w.draining() ? std::min(deadline, now() + drain_patience) : deadline);
        if (r == io_result::timeout) co_return fill::timeout;
        drained_ = false; // an edge, or the nudge of a drain: look
    }
}

bool connection::may_keep_alive(bool head_in_use) {
    if (!request_.keep_alive || close_ || broken_ || detached_ || response_.close) return false;
    if (client_.in_reserve()) return false; // the next one needs it
    if (!server_.draining.load(std::memory_order_relaxed) && !stop_requested()) return true;
    // A drain answers what the client has sent already: this response is the last one if nothing follows it.
    if (!body_done_) return false;
    input_buffer& source = body_source();
    if (!source.empty()) return true;
    return !head_in_use && read_now(source.room()) == fill::bytes; // may overwrite the head
}

void connection::begin_request() noexcept {
    class_ = nullptr;
    refused_ = refusal::none;
    waits_for_ = nullptr;
    may_wait_ = false;
    response_.clear();
    body_.clear();
    body_asked_ = !request_.expect_continue;
    body_done_ = !request_.has_body();
    body_kept_ = body_done_;
    head_sent_ = false;
    streamed_ = 0;
    flushed_ = 0;
    waited_ = {};
}

// One coroutine on purpose: a request that its handler answers at once costs no frame.
task<connection::after> connection::serve() {
    for (;;) {
        // ---- the head
        time_point deadline = time_point::max();
        bool last_look = false;
        bool gone = false;
        for (;;) {
            if (!in_.empty() && parse_head(deadline)) break;
            if (!drained_) {
                const fill f = read_now(in_.room());
                if (f == fill::bytes) continue;
                gone = f == fill::end;
                if (gone) break;
            }
            gone = last_look && in_.empty();
            if (gone) break;
            time_point time = now();
            if (!out_.empty() && !post(time) && !flush_now()) {
                const bool sent = co_await flush();
                if (!sent) co_return after::end;
                handled_at_ = time = now();
            }
            const server_state::client_wait w{client_.member};
            if (client_.in_reserve()) deadline = std::min(deadline, time + reserve_patience);
            time_point until;
            if (!in_.empty()) {
                until = w.draining() ? std::min(deadline, time + drain_patience) : deadline;
            } else if (!w.draining()) { // nothing of a request has come
                // What came before this came while its predecessor was handled, and has waited for that one.
                handled_at_ = client_.idle_since = time;
                queued_ = {};
                until = client_.idle_since + std::min(warm_time, client_.idle_patience());
            } else { // one more request, but no longer; what has come by then is still answered
                until = server_.idle_until();
                last_look = time >= until;
            }
            if (in_.empty()) in_.lend(); // others use it meanwhile, while it lies in the caches
            // One wait for all three: each place that waits takes its room in the frame.
            const io_result r = co_await stream_.io().readable(until);
            settle();
            if (r == io_result::timeout && !in_.empty()) {
                server_.admission.count(refusal::header_timeout);
                refuse(408, "the request's head did not come in time");
                break;
            }
            if (r == io_result::timeout && !w.draining() && out_.empty()) co_return after::idle;
            drained_ = false; // an edge, or the nudge of a drain: look
            fresh_turn_ = true;
        }
        if (gone || close_) break;

        // ---- the handler, behind the barrier
        begin_request();
        const bool others_first = had_its_turn();
        // What a plain handler computes runs before this is sent. A client that does not read must not hold a place among those in hand.
        if (out_.size() >= (others_first ? 1 : flush_before_handling) && !flush_now()) {
            const bool sent = co_await flush();
            if (!sent) co_return after::end;
        }
        if (others_first) {
            came_at_ = now();
            co_await yield();
            fresh_turn_ = true;
        }
        std::exception_ptr thrown;
        std::expected<void, work_ended> finished{};
        try {
            may_wait_ = true;
            task<> handling = options_.handler(*this);
            may_wait_ = false;
            if (waits_for_) {
                handling = {};
                const bool here = co_await wait_for_a_place();
                if (!here) co_return after::end;
                if (refused_ == refusal::none) handling = options_.handler(*this); // it is admitted
            }
            if (!handling.empty()) {
                // It may wait for long: what is ready for the client goes first.
                if (!out_.empty() && !flush_now()) {
                    const bool sent = co_await flush();
                    if (!sent) co_return after::end;
                    handled_at_ = now(); // it begins now
                }
                const time_point began = class_ ? handled_at_ : now(); // else it will be admitted further in
                client_slow_ = false;
                const gone_when gone = detached_                      ? gone_when::never
                                       : options_.half_closed_clients ? gone_when::broken
                                                                      : gone_when::half_closed;
                finished =
                    co_await for_peer(stream_.io(), gone, handler_deadline(began), std::move(handling));
                handled_at_ = now();
                // What was destroyed for its deadline took at least so long.
                const bool known = finished || finished.error() == work_ended::timeout;
                if (known && !client_slow_) permit_.finish(handled_at_);
            }
        } catch (...) {
            thrown = std::current_exception();
            handled_at_ = now();
        }
        permit_.give_back();
        if (!finished && finished.error() == work_ended::peer_gone) {
            server_.admission.count(refusal::client_gone);
            co_return after::end;
        }
        if (!finished && !answer_timeout()) co_return after::end;
        if (thrown) {
            const bool recovered = recover(thrown);
            thrown = nullptr;
            if (!recovered) co_return after::end;
        }
        if (refused_ != refusal::none) {
            if (const time_point when = server_.admission.answer_refusal_at(handled_at_);
                when > handled_at_) {
                if (!out_.empty() && !flush_now()) {
                    const bool sent = co_await flush();
                    if (!sent) co_return after::end;
                }
                co_await sleep_until(when);
                handled_at_ = when;
                fresh_turn_ = true;
            }
        }

        // ---- the response, then what is left of the body
        const bool keep_alive = refused_ != refusal::none ? append_refusal() : finish_response();
        if (!keep_alive) close_ = true;
        if (!body_done_ && !close_) {
            const bool passed = co_await discard_body();
            if (!passed) close_ = true;
            handled_at_ = now();
        }
        if ((close_ || out_.size() >= flush_at) && !flush_now()) {
            const bool sent = co_await flush();
            if (!sent) co_return after::end;
            handled_at_ = now();
        }
        end_request();
        if (close_) break;
        if (!in_.empty() || !drained_) handled_at_ = now(); // the next one has been waiting for this one
    }
    if (!out_.empty() && !flush_now()) {
        const bool sent = co_await flush();
        if (!sent) co_return after::end;
    }
    co_await linger();
    co_return after::end;
}

// ---- its turn, and refusals

// Whether others are to have theirs: a client can send many requests together.
bool connection::had_its_turn() const noexcept {
    return !fresh_turn_ && handled_at_ - turn_began_ > longest_turn;
}

// Tells that the request was not admitted. Whether the connection goes on.
bool connection::append_refusal() {
    if (!body_done_ && !body_asked_) close_ = true; // see finish_response
    if (!body_done_ && parser_.announced_body() > discard_refused_bytes)
        close_ = true; // reading it would cost more than no
    if (refused_ == refusal::reserved) close_ = true;
    const bool keep_alive = may_keep_alive(false);
    out_ += server_.admission.text().get(!keep_alive, request_.method == method::head,
                                         request_.minor_version == 0);
    return keep_alive;
}

// The handler's time is up, and it has been destroyed. False: its response has begun.
bool connection::answer_timeout() {
    server_.admission.count(refusal::handler_timeout);
    if (head_sent_) return false;
    replace_response(503, R"({"error":{"status":503,"message":"the request took too long"}})");
    return true;
}

// Instead of what the handler has made; but for its wish to close.
void connection::replace_response(int status, std::string_view body) {
    const bool close = response_.close;
    response_.clear();
    response_.close = close;
    response_.status = status;
    response_.set("Content-Type", "application/json; charset=utf-8");
    response_.body = body;
}

// ---- the head

// Whether the verdict on the buffered bytes is clear: a request, or its refusal. Sets the deadline at the first look.
bool connection::parse_head(time_point& deadline) {
    const head_result head = parser_.feed(in_.bytes(), request_);
    switch (head.state) {
    case head_state::failed: refuse(head.error.status, head.error.reason); return true;
    case head_state::complete: in_.consume(head.size); return true;
    case head_state::need_more: break;
    }
    if (deadline == time_point::max()) deadline = later(now(), options_.header_timeout);
    return false;
}

// The handler threw. False: its response has begun, and cannot be completed. The client sees by the broken framing that
// it is not whole.
bool connection::recover(const std::exception_ptr& thrown) {
    std::string what = "request ";
    what += to_string(request_.method);
    what += ' ';
    append_log_text(what, request_.path);
    report_crash(what, exit_reason::from_exception(thrown));
    if (head_sent_) return false;
    replace_response(500, R"({"error":{"status":500,"message":"Internal Server Error"}})");
    return true;
}

// Appends what is still to be sent of the response. Whether the connection may go on.
bool connection::finish_response() {
    // A client that waits for `100 Continue` was never told to send its body: whether it will come nobody knows
    // (RFC 9110 section 10.1.1).
    if (!body_done_ && !body_asked_) close_ = true;
    const bool keep_alive = may_keep_alive(false) && !(head_sent_ && told_close_);
    if (!head_sent_) {
        append_response(out_, &request_, response_, keep_alive, current_date());
        return keep_alive;
    }
    if (static_cast<streamed_body>(streamed_) == streamed_body::chunked) append_last_chunk(out_);
    return keep_alive && static_cast<streamed_body>(streamed_) != streamed_body::until_close;
}

void connection::end_request() noexcept {
    if (body_apart_) {
        in_ = std::move(body_in_);
        body_in_.release();
        body_apart_ = false;
    }
    parser_.reset();
}

void connection::refuse(int status, std::string_view reason) {
    append_simple_error(out_, nullptr, status, reason, true, current_date());
    close_ = true;
}

// ---- the body

// How long the client may be waited for, now, when so many bytes have come and it has been waited for so long.
duration connection::body_patience(std::size_t come, duration waited) const noexcept {
    if (options_.body_rate == 0) return infinity;
    const std::chrono::duration<double> share{static_cast<double>(come) /
                                              static_cast<double>(options_.body_rate)};
    const std::chrono::duration<double> left = options_.body_grace + share - waited;
    if (left >= options_.body_timeout) return options_.body_timeout;
    return std::max(duration::zero(), std::chrono::duration_cast<duration>(left));
}

// Room for more of the body. The head stays where it is.
std::span<char> connection::body_room() {
    if (body_apart_) return body_in_.room();
    if (auto room = in_.room_in_place(); room.size() >= 1024) return room;
    const std::string_view left = in_.bytes();
    while (body_in_.bytes().size() < left.size()) {
        auto room = body_in_.room();
        const std::size_t n = std::min(room.size(), left.size() - body_in_.bytes().size());
        std::memcpy(room.data(), left.data() + body_in_.bytes().size(), n);
        body_in_.filled(n);
    }
    body_apart_ = true;
    return body_in_.room();
}

task<std::expected<std::string_view, body_error>> connection::read_body() {
    return read_body(static_cast<std::size_t>(options_.limits.body));
}

task<std::expected<std::string_view, body_error>> connection::read_body(std::size_t limit) {
    using result = std::expected<std::string_view, body_error>;
    auto fail = [this](body_error e) -> result {
        close_ = true;
        return std::unexpected(e);
    };
    if (body_kept_) {
        if (body_.size() > limit) co_return fail(body_error::too_large);
        co_return body_;
    }
    if (close_) co_return std::unexpected(body_error::disconnected);
    if (request_.content_length.value_or(0) > limit) co_return fail(body_error::too_large);
    const time_point deadline = later(now(), options_.body_timeout);
    std::size_t come = 0;
    duration waited{};
    for (;;) {
        input_buffer& source = body_source();
        const body_result b = parser_.body(source.bytes());
        come += b.consumed;
        if (b.error) co_return fail(body_error::malformed);
        if (parser_.announced_body() > limit || body_.size() + b.piece.size() > limit)
            co_return fail(body_error::too_large);
        body_.append(b.piece);
        source.consume(b.consumed);
        if (b.done) {
            body_done_ = body_kept_ = true;
            co_return body_;
        }
        if (b.consumed != 0) continue;
        // Once the response has begun it is too late for `100 Continue`: it would land in the response's middle. The
        // client may send the body all the same (RFC 9110 section 10.1.1).
        if (!body_asked_ && !head_sent_) {
            body_asked_ = true;
            append_continue(out_);
            bool sent = flush_now();
            if (!sent) sent = co_await flush();
            if (!sent) co_return fail(body_error::disconnected);
        }
        const time_point since = now();
        const fill f = co_await wait_for_bytes(body_room(),
                                               std::min(deadline, later(since, body_patience(come, waited))));
        waited += now() - since;
        if (f == fill::timeout) {
            server_.admission.count(refusal::body_timeout);
            co_return fail(body_error::timeout);
        }
        if (f == fill::end) co_return fail(body_error::disconnected);
    }
}

// The handler did not want the body: reads past it, within reason, so that the connection can go on.
task<bool> connection::discard_body() {
    std::size_t passed = 0;
    duration waited{};
    const time_point deadline = later(now(), options_.body_timeout);
    for (;;) {
        input_buffer& source = body_source();
        const body_result b = parser_.body(source.bytes());
        if (b.error) co_return false;
        passed += b.consumed;
        source.consume(b.consumed);
        if (b.done) {
            body_done_ = true;
            co_return true;
        }
        if (b.consumed != 0) continue;
        const std::size_t most = refused_ != refusal::none ? discard_refused_bytes : discard_bytes;
        if (passed > most || parser_.announced_body() > most) co_return false;
        bool sent = out_.empty() || flush_now(); // the client may wait for it
        if (!sent) sent = co_await flush();
        if (!sent) co_return false;
        const time_point since = now();
        const fill f = co_await wait_for_bytes(
            body_room(), std::min(deadline, later(since, body_patience(passed, waited))));
        waited += now() - since;
        if (f == fill::timeout) server_.admission.count(refusal::body_timeout);
        if (f != fill::bytes) co_return false;
    }
}

// ---- writing

// Writes what the system takes. True when that was all.
bool connection::flush_now() noexcept {
    if (broken_) return false;
    while (written_ < out_.size()) {
        auto n = stream_.try_write(std::string_view{out_}.substr(written_));
        if (!n) {
            if (n.error() != std::errc::operation_would_block) broken_ = true;
            return false;
        }
        written_ += *n;
    }
    wrote_all();
    return true;
}

void connection::wrote_all() noexcept {
    flushed_ += out_.size();
    out_.clear();
    written_ = 0;
    came_back_ = false;
}

// Leaves what is to be written with the worker. Until `settle`, which has to follow the wait for the client, out_ stays as it is.
bool connection::post(time_point time) noexcept {
    return !broken_ && !came_back_ &&
           posted_.post(stream_.io(), std::string_view{out_}.substr(written_), time);
}

// What was posted has been written, or is to be written as if it had never been posted. It is not posted again: the client may not be
// reading, and only `flush` waits for that, and for no longer than it should.
void connection::settle() noexcept {
    if (!posted_) return;
    written_ += posted_.settle();
    if (written_ == out_.size())
        wrote_all();
    else
        came_back_ = true;
}

// How long the client may still be waited for, now: nothing goes on for ever, neither a pause nor a trickle.
duration connection::patience() const noexcept {
    if (options_.write_rate == 0) return options_.write_timeout;
    const std::chrono::duration<double> share{static_cast<double>(flushed_ + out_.size()) /
                                              static_cast<double>(options_.write_rate)};
    const std::chrono::duration<double> left = options_.write_timeout + share - waited_;
    if (left >= options_.write_timeout) return options_.write_timeout;
    return std::max(duration::zero(), std::chrono::duration_cast<duration>(left));
}

// Writes the rest, waiting for the client to read. False when it does not, or is gone.
task<bool> connection::flush() {
    for (;;) {
        const bool all = flush_now();
        if (all || broken_) co_return all;
        client_slow_ = true;
        const time_point since = now();
        const io_result r = co_await stream_.io().writable(later(since, patience()));
        waited_ += now() - since;
        if (r != io_result::timeout) continue;
        server_.admission.count(refusal::write_timeout);
        broken_ = late_ = true;
    }
}

task<std::expected<void, send_error>> connection::send_piece(std::string_view piece) {
    using result = std::expected<void, send_error>;
    if (broken_) co_return std::unexpected(why_broken());
    if (!head_sent_) {
        head_sent_ = true;
        const bool keep_alive = may_keep_alive(true);
        streamed_ = static_cast<std::uint8_t>(
            append_head_chunked(out_, &request_, response_, keep_alive, current_date()));
        told_close_ = !keep_alive;
        if (static_cast<streamed_body>(streamed_) == streamed_body::until_close) close_ = true;
    }
    switch (static_cast<streamed_body>(streamed_)) {
    case streamed_body::none: break;
    case streamed_body::chunked: append_chunk(out_, piece); break;
    case streamed_body::until_close: out_.append(piece); break;
    }
    bool sent = flush_now();
    if (!sent) sent = co_await flush();
    if (!sent) co_return std::unexpected(why_broken());
    co_return result{};
}

task<connection::after> connection::end() {
    co_await linger();
    co_return after::end;
}

task<> connection::linger() {
    if (broken_) co_return;
    stream_.shutdown_write();
    const time_point deadline = now() + linger_time;
    in_.release();
    body_in_.release();
    body_apart_ = false;
    drained_ = false;
    for (std::size_t passed = 0;;) {
        const fill f = co_await wait_for_bytes(in_.room(), deadline);
        if (f != fill::bytes) co_return;
        passed += in_.bytes().size();
        in_.consume(in_.bytes().size());
        if (passed >= linger_bytes) co_return;
    }
}

} // namespace genever::http
