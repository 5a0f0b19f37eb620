// Reads C++ values out of parsed JSON, and says where it went wrong.
#pragma once

#include <genever/web/bind_error.hpp>

#include <boost/describe/enumerators.hpp>
#include <boost/describe/members.hpp>
#include <boost/json/monotonic_resource.hpp>
#include <boost/json/value.hpp>
#include <boost/mp11/algorithm.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace genever::web::detail {

/// A parsed document whose nodes lie in this object as far as they fit.
class json_document {
public:
    json_document() : memory_(buffer_, sizeof buffer_), root_(boost::json::storage_ptr{&memory_}) {}
    json_document(const json_document&) = delete;

    /// Parses the whole text (RFC 8259, valid UTF-8, at most 32 levels deep).
    std::optional<bind_error> parse(std::string_view text);
    const boost::json::value& root() const noexcept { return root_; }

private:
    unsigned char buffer_[4096];
    boost::json::monotonic_resource memory_;
    boost::json::value root_;
};

/// Where in the document the reader is: a chain through the stack, written out only for an error.
struct json_place {
    const json_place* parent = nullptr;
    std::string_view key = {};
    std::size_t index = 0;
};

/// Fills in a 422. Gives false.
bool wrong_shape(bind_error& e, const json_place& at, std::string message);

// The scalar types' readers, in one place each rather than in every instantiation.
bool read_signed(const boost::json::value& v, std::int64_t& out, std::int64_t low, std::int64_t high,
                 const json_place& at, bind_error& e);
bool read_unsigned(const boost::json::value& v, std::uint64_t& out, std::uint64_t high, const json_place& at,
                   bind_error& e);
bool read_double(const boost::json::value& v, double& out, double limit, const json_place& at, bind_error& e);
bool read_bool(const boost::json::value& v, bool& out, const json_place& at, bind_error& e);
bool read_string(const boost::json::value& v, std::string& out, const json_place& at, bind_error& e);
const boost::json::object* read_object(const boost::json::value& v, const json_place& at, bind_error& e);
const boost::json::array* read_array(const boost::json::value& v, const json_place& at, bind_error& e);

template <class T>
inline constexpr bool is_optional = false;
template <class T>
inline constexpr bool is_optional<std::optional<T>> = true;

template <class T>
concept described_struct = std::is_class_v<T> && boost::describe::has_describe_members<T>::value;
template <class T>
concept described_enum = std::is_enum_v<T> && boost::describe::has_describe_enumerators<T>::value;
template <class T>
concept string_map = requires(T& t, std::string key) {
    typename T::mapped_type;
    t.try_emplace(std::move(key));
} && std::constructible_from<typename T::key_type, std::string>;
template <class T>
concept back_insertable = requires(T& t) {
    typename T::value_type;
    t.emplace_back();
    t.clear();
} && !std::same_as<typename T::value_type, bool>;

template <class T>
bool read_json(const boost::json::value& v, T& out, const json_place& at, bind_error& e);

template <class T>
bool read_members(const boost::json::object& o, T& out, const json_place& at, bind_error& e) {
    using members =
        boost::describe::describe_members<T, boost::describe::mod_public | boost::describe::mod_inherited>;
    bool ok = true;
    boost::mp11::mp_for_each<members>([&](auto member) {
        if (!ok) return;
        auto& target = out.*member.pointer;
        const std::string_view name = member.name;
        const json_place here{.parent = &at, .key = name};
        if (const boost::json::value* found = o.if_contains(name))
            ok = read_json(*found, target, here, e);
        else if constexpr (is_optional<std::remove_reference_t<decltype(target)>>)
            target.reset();
        else
            ok = wrong_shape(e, here, "is required");
    });
    return ok;
}

template <class T>
bool read_enum(const boost::json::value& v, T& out, const json_place& at, bind_error& e) {
    const boost::json::string* name = v.if_string();
    bool found = false;
    boost::mp11::mp_for_each<boost::describe::describe_enumerators<T>>([&](auto d) {
        if (found || !name || std::string_view{*name} != d.name) return;
        out = d.value;
        found = true;
    });
    if (found) return true;
    std::string known;
    boost::mp11::mp_for_each<boost::describe::describe_enumerators<T>>([&](auto d) {
        if (!known.empty()) known += ", ";
        known += d.name;
    });
    return wrong_shape(e, at, "must be one of " + known);
}

/// Reads `v` into `out`. False, with `e` filled in, when it does not fit; `out` is then in an unspecified
/// state.
template <class T>
bool read_json(const boost::json::value& v, T& out, const json_place& at, bind_error& e) {
    if constexpr (std::same_as<T, boost::json::value>) {
        // With the default memory: the document's own goes away with the document.
        out = boost::json::value(v, boost::json::storage_ptr{});
        return true;
    } else if constexpr (std::same_as<T, bool>) {
        return read_bool(v, out, at, e);
    } else if constexpr (std::signed_integral<T>) {
        std::int64_t n = 0;
        if (!read_signed(v, n, std::numeric_limits<T>::min(), std::numeric_limits<T>::max(), at, e))
            return false;
        out = static_cast<T>(n);
        return true;
    } else if constexpr (std::unsigned_integral<T>) {
        std::uint64_t n = 0;
        if (!read_unsigned(v, n, std::numeric_limits<T>::max(), at, e)) return false;
        out = static_cast<T>(n);
        return true;
    } else if constexpr (std::floating_point<T>) {
        double d = 0;
        if (!read_double(v, d, static_cast<double>(std::numeric_limits<T>::max()), at, e)) return false;
        out = static_cast<T>(d);
        return true;
    } else if constexpr (std::same_as<T, std::string>) {
        return read_string(v, out, at, e);
    } else if constexpr (is_optional<T>) {
        if (v.is_null()) {
            out.reset();
            return true;
        }
        return read_json(v, out.emplace(), at, e);
    } else if constexpr (described_enum<T>) {
        return read_enum(v, out, at, e);
    } else if constexpr (described_struct<T>) {
        const boost::json::object* o = read_object(v, at, e);
        return o != nullptr && read_members(*o, out, at, e);
    } else if constexpr (string_map<T>) {
        const boost::json::object* o = read_object(v, at, e);
        if (o == nullptr) return false;
        out.clear();
        for (const auto& entry : *o) {
            const std::string_view key = entry.key();
            if (!read_json(entry.value(), out.try_emplace(std::string{key}).first->second,
                           json_place{.parent = &at, .key = key}, e))
                return false;
        }
        return true;
    } else if constexpr (back_insertable<T>) {
        const boost::json::array* a = read_array(v, at, e);
        if (a == nullptr) return false;
        out.clear();
        if constexpr (requires { out.reserve(a->size()); }) out.reserve(a->size());
        for (std::size_t i = 0; i < a->size(); ++i)
            if (!read_json((*a)[i], out.emplace_back(), json_place{.parent = &at, .index = i}, e))
                return false;
        return true;
    } else {
        static_assert(
            sizeof(T) == 0,
            "genever: this type cannot be read from JSON. It must be bool, a number, std::string, an enum or "
            "struct described with BOOST_DESCRIBE_ENUM or BOOST_DESCRIBE_STRUCT, std::optional, a vector, "
            "list or deque (not of bool), a map from std::string, or boost::json::value");
        return false;
    }
}

/// Parses and reads in one go.
template <class T>
std::expected<T, bind_error> parse_json(std::string_view text) {
    static_assert(std::default_initializable<T>,
                  "genever: a type read from JSON must be default-constructible");
    json_document doc;
    if (auto e = doc.parse(text)) return std::unexpected(std::move(*e));
    std::expected<T, bind_error> out{};
    bind_error e;
    if (!read_json(doc.root(), *out, json_place{}, e)) out = std::unexpected(std::move(e));
    return out;
}

} // namespace genever::web::detail
