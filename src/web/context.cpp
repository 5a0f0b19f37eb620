#include <genever/web/context.hpp>

#include "web/json_write.hpp"
#include "web/percent.hpp"

#include <algorithm>
#include <stdexcept>

namespace genever::web {
namespace {

/// Whether a media type says JSON: `application/json`, or the `+json` suffix (RFC 6839), parameters aside.
bool is_json_type(std::string_view content_type) noexcept {
    content_type = content_type.substr(0, content_type.find(';'));
    while (content_type.ends_with(' ') || content_type.ends_with('\t')) content_type.remove_suffix(1);
    if (http::iequals(content_type, "application/json")) return true;
    const std::size_t plus = content_type.rfind('+');
    return plus != content_type.npos && plus > content_type.find('/') &&
           http::iequals(content_type.substr(plus), "+json");
}

/// Calls `f(raw name, raw value)` for the query's parameters until it gives false.
template <class F>
void each_parameter(std::string_view query, F f) {
    while (!query.empty()) {
        const std::string_view pair = query.substr(0, query.find('&'));
        query.remove_prefix(std::min(pair.size() + 1, query.size()));
        if (pair.empty()) continue;
        const std::size_t equals = pair.find('=');
        const std::string_view value = equals == pair.npos ? std::string_view{} : pair.substr(equals + 1);
        if (!f(pair.substr(0, equals), value)) return;
    }
}

} // namespace

text_view context::param(std::string_view name) const noexcept {
    const auto& names = route_->param_names;
    for (std::size_t i = 0; i < names.size(); ++i)
        if (names[i] == name) return params_[i];
    return {};
}

// --- the query ---

std::optional<text_view> context::decode_value(std::string_view raw) {
    if (raw.find_first_of("%+") == raw.npos) return raw;
    char* out = arena_.allocate_chars(raw.size());
    const auto size = detail::decode(raw, out, detail::decoding::form);
    arena_.give_back(raw.size() - size.value_or(0));
    if (!size) return std::nullopt;
    return text_view{out, *size};
}

std::optional<text_view> context::find_query(std::string_view name, bool& present) {
    std::optional<text_view> found;
    each_parameter(exchange_.request.query, [&](std::string_view raw_name, std::string_view raw_value) {
        if (!detail::decodes_to(raw_name, name)) return true;
        present = true;
        found = decode_value(raw_value);
        return false;
    });
    return found;
}

std::optional<text_view> context::query(std::string_view name) {
    bool present = false;
    return find_query(name, present);
}

std::vector<text_view> context::query_all(std::string_view name) {
    std::vector<text_view> values;
    each_parameter(exchange_.request.query, [&](std::string_view raw_name, std::string_view raw_value) {
        if (detail::decodes_to(raw_name, name))
            if (const auto value = decode_value(raw_value)) values.push_back(*value);
        return true;
    });
    return values;
}

bind_error context::query_error(std::string_view name, bool present, bool decoded, std::string rule) {
    if (!present)
        rule = "is required";
    else if (!decoded)
        rule = "has an invalid percent escape";
    return {.status = 400, .message = std::move(rule), .path = std::string{name}};
}

// --- the body ---

std::optional<bind_error> context::check_content_type() const {
    if (is_json_type(header("Content-Type"))) return std::nullopt;
    return bind_error{.status = 415, .message = "the content type must be application/json", .path = {}};
}

bind_error context::describe(http::body_error e) {
    switch (e) {
    case http::body_error::too_large: return {.status = 413, .message = "the body is too large", .path = {}};
    case http::body_error::timeout:
        return {.status = 408, .message = "the body did not come in time", .path = {}};
    case http::body_error::malformed:
        return {.status = 400, .message = "the body's chunks are malformed", .path = {}};
    case http::body_error::disconnected: break;
    }
    return {.status = 400, .message = "the client went away", .path = {}};
}

// --- the response ---

void context::status(int code) {
    if (code < 200 || code > 599) throw std::invalid_argument("HTTP status " + std::to_string(code));
    if (exchange_.head_sent()) throw std::logic_error("the response's head has been sent already");
    exchange_.response.status = code;
}

void context::set_header(std::string_view name, std::string_view value) {
    if (exchange_.head_sent()) throw std::logic_error("the response's head has been sent already");
    exchange_.response.set(name, value);
}

void context::add_header(std::string_view name, std::string_view value) {
    if (exchange_.head_sent()) throw std::logic_error("the response's head has been sent already");
    exchange_.response.add(name, value);
}

std::string& context::begin_body(int code, std::string_view content_type) {
    status(code);
    exchange_.response.set("Content-Type", content_type);
    exchange_.response.body.clear();
    return exchange_.response.body;
}

void context::bytes(int status, std::string_view content_type, std::string_view data) {
    begin_body(status, content_type).assign(data);
}

void context::no_content() {
    status(204);
    exchange_.response.remove("Content-Type");
    exchange_.response.body.clear();
}

void context::redirect(int code, std::string_view location) {
    switch (code) {
    case 301:
    case 302:
    case 303:
    case 307:
    case 308: break;
    default: throw std::invalid_argument("HTTP status " + std::to_string(code) + " is not a redirect");
    }
    status(code);
    exchange_.response.set("Location", location);
    exchange_.response.remove("Content-Type");
    exchange_.response.body.clear();
}

void context::json(int status, std::initializer_list<boost::json::value_ref> list) {
    unsigned char buffer[json_scratch];
    boost::json::monotonic_resource memory(buffer, sizeof buffer);
    put_json(status, boost::json::value(list, boost::json::storage_ptr{&memory}));
}

void context::put_json(int status, const boost::json::value& v) {
    detail::append_json(begin_body(status, "application/json; charset=utf-8"), v);
}

void context::abort_with(int status, std::string_view message) {
    json(status, {{"error", {{"status", status}, {"message", message}}}});
}

void context::abort_with(const bind_error& e) {
    if (e.path.empty()) return abort_with(e.status, e.message);
    json(e.status, {{"error", {{"status", e.status}, {"message", e.message}, {"path", e.path}}}});
}

// --- values ---

void context::keep(std::string_view key, const void* type, void* object, void (*destroy)(void*) noexcept) {
    for (kept_value* v = values_; v != nullptr; v = v->before) {
        if (v->key != key) continue;
        void* const old = std::exchange(v->object, object);
        v->type = type;
        std::exchange(v->destroy, destroy)(old);
        return;
    }
    void* place = arena_.allocate(sizeof(kept_value), alignof(kept_value));
    const std::string_view kept_key = arena_.copy(key);
    values_ = new (place) kept_value{values_, kept_key, type, object, destroy};
}

void* context::find_value(std::string_view key, const void* type) const noexcept {
    for (const kept_value* v = values_; v != nullptr; v = v->before)
        if (v->key == key) return v->type == type ? v->object : nullptr;
    return nullptr;
}

void context::destroy_values() noexcept {
    for (; values_ != nullptr; values_ = values_->before) values_->destroy(values_->object);
}

} // namespace genever::web
