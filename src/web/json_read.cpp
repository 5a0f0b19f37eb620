#include <genever/web/detail/json_read.hpp>

#include <boost/json/parse.hpp>
#include <boost/json/parse_options.hpp>
#include <boost/json/parser.hpp>
#include <boost/json/serialize.hpp>

#include <algorithm>
#include <cmath>

namespace genever::web::detail {
namespace {

bool plain_key(std::string_view key) noexcept {
    const auto word = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
    };
    return !key.empty() && std::ranges::all_of(key, word);
}

void append_place(std::string& out, const json_place& at) {
    if (at.parent == nullptr) {
        out += '$';
        return;
    }
    append_place(out, *at.parent);
    if (at.key.data() == nullptr) {
        out += '[';
        out += std::to_string(at.index);
        out += ']';
    } else if (plain_key(at.key)) {
        out += '.';
        out += at.key;
    } else {
        out += '[';
        out += boost::json::serialize(boost::json::string_view{at.key});
        out += ']';
    }
}

// The nearest doubles outside the 64-bit integers' ranges; both are exact.
constexpr double two_to_63 = 9223372036854775808.0;
constexpr double two_to_64 = 18446744073709551616.0;

/// JSON knows numbers, not integers: 1e3 and 1.0 are whole as well.
bool is_whole(double d) noexcept { return std::trunc(d) == d; }

} // namespace

std::optional<bind_error> json_document::parse(std::string_view text) {
    if (text.empty())
        return bind_error{.status = 400, .message = "the body is empty; JSON is expected", .path = {}};
    unsigned char scratch[2048];
    boost::json::parser parser(boost::json::storage_ptr{}, boost::json::parse_options{}, scratch);
    parser.reset(boost::json::storage_ptr{&memory_});
    boost::json::error_code error;
    const std::size_t parsed = parser.write_some(text.data(), text.size(), error);
    if (!error) {
        const std::size_t rest = text.find_first_not_of(" \t\r\n", parsed);
        if (rest != text.npos)
            return bind_error{.status = 400,
                              .message = "the body goes on behind its JSON at byte " + std::to_string(rest),
                              .path = {}};
        root_ = parser.release();
        return std::nullopt;
    }
    return bind_error{.status = 400,
                      .message =
                          "the body is not JSON: " + error.message() + " at byte " + std::to_string(parsed),
                      .path = {}};
}

bool wrong_shape(bind_error& e, const json_place& at, std::string message) {
    e.status = 422;
    e.message = std::move(message);
    e.path.clear();
    append_place(e.path, at);
    return false;
}

bool read_signed(const boost::json::value& v, std::int64_t& out, std::int64_t low, std::int64_t high,
                 const json_place& at, bind_error& e) {
    bool fits = false;
    if (const auto* i = v.if_int64()) {
        out = *i;
        fits = true;
    } else if (const auto* u = v.if_uint64()) {
        fits = std::in_range<std::int64_t>(*u);
        out = static_cast<std::int64_t>(*u);
    } else if (const auto* d = v.if_double(); d && is_whole(*d) && *d >= -two_to_63 && *d < two_to_63) {
        out = static_cast<std::int64_t>(*d);
        fits = true;
    }
    if (fits && out >= low && out <= high) return true;
    return wrong_shape(e, at,
                       "must be an integer from " + std::to_string(low) + " to " + std::to_string(high));
}

bool read_unsigned(const boost::json::value& v, std::uint64_t& out, std::uint64_t high, const json_place& at,
                   bind_error& e) {
    bool fits = false;
    if (const auto* i = v.if_int64()) {
        fits = *i >= 0;
        out = static_cast<std::uint64_t>(*i);
    } else if (const auto* u = v.if_uint64()) {
        out = *u;
        fits = true;
    } else if (const auto* d = v.if_double(); d && is_whole(*d) && *d >= 0 && *d < two_to_64) {
        out = static_cast<std::uint64_t>(*d);
        fits = true;
    }
    if (fits && out <= high) return true;
    return wrong_shape(e, at, "must be an integer from 0 to " + std::to_string(high));
}

bool read_double(const boost::json::value& v, double& out, double limit, const json_place& at,
                 bind_error& e) {
    if (const auto* d = v.if_double())
        out = *d;
    else if (const auto* i = v.if_int64())
        out = static_cast<double>(*i);
    else if (const auto* u = v.if_uint64())
        out = static_cast<double>(*u);
    else
        return wrong_shape(e, at, "must be a number");
    // 1e400 is well-formed JSON; no double holds it.
    if (std::isfinite(out) && std::abs(out) <= limit) return true;
    return wrong_shape(e, at, "is too large a number");
}

bool read_bool(const boost::json::value& v, bool& out, const json_place& at, bind_error& e) {
    const bool* b = v.if_bool();
    if (b == nullptr) return wrong_shape(e, at, "must be true or false");
    out = *b;
    return true;
}

bool read_string(const boost::json::value& v, std::string& out, const json_place& at, bind_error& e) {
    const boost::json::string* s = v.if_string();
    if (s == nullptr) return wrong_shape(e, at, "must be a string");
    out.assign(s->data(), s->size());
    return true;
}

const boost::json::object* read_object(const boost::json::value& v, const json_place& at, bind_error& e) {
    const boost::json::object* o = v.if_object();
    if (o == nullptr) wrong_shape(e, at, "must be an object");
    return o;
}

const boost::json::array* read_array(const boost::json::value& v, const json_place& at, bind_error& e) {
    const boost::json::array* a = v.if_array();
    if (a == nullptr) wrong_shape(e, at, "must be an array");
    return a;
}

} // namespace genever::web::detail
