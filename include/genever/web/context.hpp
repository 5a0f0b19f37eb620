// A request and its response, as a handler of the router sees them.
#pragma once

#include <genever/base/pool.hpp>
#include <genever/http/exchange.hpp>
#include <genever/runtime/task.hpp>
#include <genever/web/bind_error.hpp>
#include <genever/web/detail/arena.hpp>
#include <genever/web/detail/json_read.hpp>
#include <genever/web/detail/parse_scalar.hpp>
#include <genever/web/detail/path_params.hpp>
#include <genever/web/detail/step.hpp>
#include <genever/web/text_view.hpp>

#include <boost/describe/class.hpp>
#include <boost/describe/enum.hpp>
#include <boost/json/monotonic_resource.hpp>
#include <boost/json/value.hpp>
#include <boost/json/value_from.hpp>

#include <cstddef>
#include <cstdint>
#include <expected>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace genever::web {

namespace detail {
class route_table;
}

/// One request on its way through a route. It lives in the connection's process until the chain has ended;
/// use it, and every view and reference that it gives out, only there and only until then. What a
/// background process needs is copied before it is spawned.
///
/// The functions that make a response set the status, the content type and the whole body, replacing what
/// was set before. They throw std::logic_error once `send_piece` has sent the head, and
/// std::invalid_argument for a status outside 200 to 599.
class context : public genever::detail::pooled {
public:
    context(const context&) = delete;
    context& operator=(const context&) = delete;
    ~context() {
        if (values_ != nullptr) destroy_values();
    }

    // --- the request ---

    http::method method() const noexcept { return exchange_.request.method; }
    /// As it stands on the wire.
    text_view target() const noexcept { return exchange_.request.target; }
    /// As it stands on the wire, escapes included.
    text_view path() const noexcept { return exchange_.request.path; }
    /// The pattern of the route that matched (`/users/:id`), or empty where none did.
    text_view matched_pattern() const noexcept { return std::string_view{route_->pattern}; }
    /// The client's address, without a port.
    text_view client_address() const noexcept { return exchange_.peer_address(); }
    /// The first header field of that name (any case), or empty.
    text_view header(std::string_view name) const noexcept { return exchange_.request.header(name); }

    /// The path parameter of that name, decoded; empty where the pattern has none. A wildcard's begins with
    /// `/`. The path is split at its real slashes before it is decoded, so a parameter may hold a slash
    /// that came as `%2F`. A path with an invalid escape is answered with 400 and reaches no handler.
    text_view param(std::string_view name) const noexcept;

    /// The first query parameter of that name, decoded (`+` is a space); nothing when there is none or its
    /// value holds an invalid escape.
    std::optional<text_view> query(std::string_view name);
    text_view query_or(std::string_view name, std::string_view fallback) {
        return query(name).value_or(fallback);
    }
    /// The values of all query parameters of that name, those with invalid escapes left out.
    std::vector<text_view> query_all(std::string_view name);
    /// The query parameter as bool (`true`, `false`, `1`, `0`), integer, finite floating-point number or
    /// std::string. The whole value must fit: ` 1`, `+1`, `1x` and an overflow are errors (400), as is none
    /// at all.
    template <detail::query_scalar T>
    std::expected<T, bind_error> query_as(std::string_view name) {
        T out{};
        if (auto e = read_query(name, out, true)) return std::unexpected(std::move(*e));
        return out;
    }
    /// The same with a value for a parameter that is absent; one that is there must still fit.
    template <detail::query_scalar T>
    std::expected<T, bind_error> query_as(std::string_view name, std::type_identity_t<T> fallback) {
        if (auto e = read_query(name, fallback, false)) return std::unexpected(std::move(*e));
        return fallback;
    }

    /// The whole body, at most the server's limit or `limit` bytes; the view is valid as long as the context.
    task<std::expected<std::string_view, http::body_error>> body() { return exchange_.read_body(); }
    task<std::expected<std::string_view, http::body_error>> body(std::size_t limit) {
        return exchange_.read_body(limit);
    }

    /// Reads the body as JSON into a `T`: a struct or enum described with BOOST_DESCRIBE_STRUCT or _ENUM, bool, a
    /// number, std::string, std::optional, a vector or map from std::string of them, or boost::json::value.
    /// A member of type std::optional may be absent or null; every other must be there; fields that the struct
    /// does not have are ignored.
    ///
    /// Errors: 415 unless the content type is `application/json` or `+json`, 413 for a body over the server's
    /// limit, 408 when it does not come in time, 400 when it is not JSON, 422 with the place (`$.user.age`)
    /// when it does not fit `T`.
    template <class T>
    task<std::expected<T, bind_error>> bind_json() {
        if (auto e = check_content_type()) co_return std::unexpected(std::move(*e));
        const auto text = co_await exchange_.read_body();
        if (!text) co_return std::unexpected(describe(text.error()));
        co_return detail::parse_json<T>(*text);
    }

    // --- the response ---

    void status(int code);
    int status() const noexcept { return exchange_.response.status; }
    /// Sets a header field, replacing those of the same name. Throws std::invalid_argument as
    /// `http::response::set`.
    void set_header(std::string_view name, std::string_view value);
    /// Adds a header field beside those of the same name.
    void add_header(std::string_view name, std::string_view value);

    void text(int status, std::string_view body) { bytes(status, "text/plain; charset=utf-8", body); }
    void html(int status, std::string_view body) { bytes(status, "text/html; charset=utf-8", body); }
    void bytes(int status, std::string_view content_type, std::string_view data);
    /// An empty 204.
    void no_content();
    /// Sends the client elsewhere with 301, 302, 303, 307 or 308 (else std::invalid_argument). The location
    /// goes out as it is: one that comes from the client needs checking first.
    void redirect(int status, std::string_view location);

    /// `c.json(200, {{"ip", ip}, {"count", n}})`: an object, or an array where the list is not one of pairs.
    /// Keys keep their order. Bytes that are not UTF-8 come out as U+FFFD.
    void json(int status, std::initializer_list<boost::json::value_ref> list);
    /// Any value of Boost.JSON, or anything that boost::json::value_from converts: described structs,
    /// containers and maps of them, optionals, scalars, types with a tag_invoke of their own.
    template <class T>
    void json(int status, const T& value) {
        if constexpr (std::is_same_v<T, boost::json::value>) {
            put_json(status, value);
        } else {
            static_assert(
                boost::json::has_value_from<T>::value,
                "genever: this type cannot be rendered as JSON: describe it with BOOST_DESCRIBE_STRUCT "
                "(and, if it has bases, specialise boost::json::is_described_class), or give it a "
                "tag_invoke for boost::json::value_from");
            unsigned char buffer[json_scratch];
            boost::json::monotonic_resource memory(buffer, sizeof buffer);
            put_json(status, boost::json::value_from(value, boost::json::storage_ptr{&memory}));
        }
    }

    /// An error as JSON: `{"error":{"status":404,"message":"no such user"}}`. In a middleware, do not call
    /// `next` after it.
    void abort_with(int status, std::string_view message);
    /// The same for a `bind_error`, with its `path` where it has one.
    void abort_with(const bind_error& e);

    /// Sends the status, the header fields and a first piece of the body, or a further piece. The body must
    /// not have been set.
    task<std::expected<void, http::send_error>> send_piece(std::string_view piece) {
        sent_ += piece.size();
        return exchange_.send_piece(piece);
    }
    /// The body's length so far, sent in pieces or whole.
    std::uint64_t bytes_written() const noexcept { return sent_ + exchange_.response.body.size(); }

    // --- values for this request ---

    /// Keeps a value under a name until the request ends, for later steps of the chain. Replaces, and
    /// destroys, one that is there. The reference is valid until then.
    template <class T>
    T& set(std::string_view key, T value) {
        static_assert(alignof(T) <= alignof(std::max_align_t));
        auto* object = new (arena_.allocate(sizeof(T), alignof(T))) T(std::move(value));
        // Should this throw, the object's destructor is all that is missing.
        std::unique_ptr<T, destroy_only> guard{object};
        keep(key, &type_tag<T>, object, [](void* p) noexcept { static_cast<T*>(p)->~T(); });
        guard.release();
        return *object;
    }
    /// The value under that name, or null when there is none or it has another type.
    template <class T>
    T* get(std::string_view key) const noexcept {
        return static_cast<T*>(find_value(key, &type_tag<T>));
    }

    /// What is below: for what this class does not offer.
    http::exchange& exchange() noexcept { return exchange_; }
    const http::exchange& exchange() const noexcept { return exchange_; }

private:
    friend class detail::route_table;
    friend class next;

    static constexpr std::size_t json_scratch = 2048;
    // Not const: identical constants of different types may share an address.
    template <class T>
    static inline char type_tag = 0;
    struct destroy_only {
        template <class T>
        void operator()(T* p) const noexcept {
            p->~T();
        }
    };
    struct kept_value {
        kept_value* before;
        std::string_view key;
        const void* type;
        void* object;
        void (*destroy)(void*) noexcept;
    };

    /// Its route and parameters are put in afterwards.
    explicit context(http::exchange& x) noexcept : exchange_(x) {}

    template <class T>
    std::optional<bind_error> read_query(std::string_view name, T& out, bool required) {
        bool present = false;
        const auto value = find_query(name, present);
        if (!present && !required) return std::nullopt;
        if (value && detail::parse_scalar(*value, out)) return std::nullopt;
        return query_error(name, present, value.has_value(), detail::scalar_rule<T>());
    }
    std::optional<text_view> find_query(std::string_view name, bool& present);
    std::optional<text_view> decode_value(std::string_view raw);
    static bind_error query_error(std::string_view name, bool present, bool decoded, std::string rule);
    std::optional<bind_error> check_content_type() const;
    static bind_error describe(http::body_error e);

    std::string& begin_body(int status, std::string_view content_type);
    void put_json(int status, const boost::json::value& v);
    void keep(std::string_view key, const void* type, void* object, void (*destroy)(void*) noexcept);
    void* find_value(std::string_view key, const void* type) const noexcept;
    void destroy_values() noexcept;

    http::exchange& exchange_;
    const detail::route* route_ = nullptr;
    std::uint32_t entered_ = 0; // how many steps of the chain have been entered
    std::uint64_t sent_ = 0;    // bytes of the body sent in pieces
    kept_value* values_ = nullptr;
    detail::path_params params_;
    detail::arena arena_;
};

} // namespace genever::web
