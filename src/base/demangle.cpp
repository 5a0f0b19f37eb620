#include <genever/base/demangle.hpp>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <cxxabi.h>
#include <memory>
#include <string_view>
#include <system_error>

namespace genever {

namespace {

struct free_memory {
    void operator()(char* p) const noexcept { std::free(p); }
};

void replace_all(std::string& s, std::string_view from, std::string_view to) {
    for (auto at = s.find(from); at != s.npos; at = s.find(from, at + to.size()))
        s.replace(at, from.size(), to);
}

// "foo(int) [clone .cold]" and "foo(int) (.resume)": the compiler's business, not the reader's.
void drop_clone_suffixes(std::string& s) {
    for (;;) {
        std::size_t at = s.npos;
        if (s.ends_with(']')) at = s.rfind(" [clone ");
        if (s.ends_with(')') && at == s.npos) at = s.rfind(" (.");
        if (at == s.npos) return;
        s.erase(at);
    }
}

void spell_plainly(std::string& s) {
    drop_clone_suffixes(s);
    replace_all(s, "std::__cxx11::", "std::");
    replace_all(s, "[abi:cxx11]", "");
    replace_all(s, " >", ">"); // C++98's `a<b<c> >`
    replace_all(s, "std::basic_string<char, std::char_traits<char>, std::allocator<char>>", "std::string");
    replace_all(s, "std::basic_string_view<char, std::char_traits<char>>", "std::string_view");
}

std::string demangled(const char* mangled) {
    int status = 0;
    std::unique_ptr<char, free_memory> name{abi::__cxa_demangle(mangled, nullptr, nullptr, &status)};
    return status == 0 && name ? std::string{name.get()} : std::string{};
}

// GCC's resume function of a coroutine takes the frame as its only parameter, whose type carries the mangled
// name of the coroutine: `foo(foo(int)::_Z3fooi.Frame*)`. That inner name is the one the user wrote.
std::string coroutine_of_frame_parameter(std::string_view name) {
    const auto end = name.rfind(".Frame*");
    if (end == name.npos) return {};
    for (auto at = name.rfind("_Z", end); at != name.npos && at != 0; at = name.rfind("_Z", at - 1)) {
        if (name[at - 1] != ':') continue;
        if (auto inner = demangled(std::string{name.substr(at, end - at)}.c_str()); !inner.empty())
            return inner;
    }
    return {};
}

void* thrown_object(const std::exception_ptr& e) noexcept {
    // libstdc++'s exception_ptr is the address of the thrown object
    static_assert(sizeof e == sizeof(void*));
    void* object = nullptr;
    std::memcpy(&object, &e, sizeof object);
    return object;
}

// What a handler for T would be given for this exception, or null. Asks the type_info as the personality
// routine does while it looks for a handler, which spares a rethrow.
template <class T>
const T* caught_as(const std::type_info& type, void* object) noexcept {
    return typeid(T).__do_catch(&type, &object, 1) ? static_cast<const T*>(object) : nullptr;
}

template <class... Numbers>
bool print_number(std::string& text, const std::type_info& type, void* object) {
    return ((type == typeid(Numbers) && (text = std::to_string(*static_cast<Numbers*>(object)), true)) ||
            ...);
}

std::string text_of(const std::type_info& type, void* object) {
    if (const auto* x = caught_as<std::exception>(type, object)) {
        const char* what = x->what();
        return what ? what : "";
    }
    if (type == typeid(const char*) || type == typeid(char*)) {
        const char* words = *static_cast<const char**>(object);
        return words ? words : "";
    }
    if (const auto* s = caught_as<std::string>(type, object)) return *s;
    if (type == typeid(std::string_view)) return std::string{*static_cast<std::string_view*>(object)};
    if (const auto* code = caught_as<std::error_code>(type, object)) return code->message();
    if (type == typeid(bool)) return *static_cast<bool*>(object) ? "true" : "false";
    if (type == typeid(char)) return std::string(1, *static_cast<char*>(object));
    std::string number;
    if (print_number<int, unsigned, long, unsigned long, long long, unsigned long long, short, unsigned short,
                     float, double>(number, type, object))
        return number;
    return "unknown exception";
}

} // namespace

std::string demangle(const char* symbol) {
    if (!symbol) return {};
    // `f` is a C function's name here; the demangler would read it as the type `float`
    if (std::strncmp(symbol, "_Z", 2) != 0) {
        const std::string_view name = symbol; // `main.cold`: what follows the dot is the compiler's
        const auto dot = name.find('.');
        return std::string{dot == 0 ? name : name.substr(0, dot)};
    }
    std::string name = demangled(symbol);
    if (name.empty()) return symbol;
    if (auto inner = coroutine_of_frame_parameter(name); !inner.empty()) name = std::move(inner);
    spell_plainly(name);
    return name;
}

namespace {

std::string readable_name(const std::type_info& type) {
    std::string name = demangled(type.name());
    if (name.empty()) return type.name();
    spell_plainly(name);
    return name;
}

/// Names that were asked for before: a storm of crashes asks for one again and again, and reading it is a good part of
/// what such a crash costs. An entry never goes, so it is read without a lock; of two types that share a place the first one
/// has it. By the name and not by the type_info: that one's address may be another type's when a library has gone.
struct known_name {
    std::string mangled;
    std::string readable;
};
constexpr std::size_t known_names_bits = 7;
constinit std::array<std::atomic<const known_name*>, 1U << known_names_bits> known_names{};

} // namespace

std::string demangle(const std::type_info& type) {
    const char* const mangled = type.name();
    const std::uint64_t mixed =
        reinterpret_cast<std::uintptr_t>(mangled) * 0x9e3779b97f4a7c15U; // Fibonacci hashing
    auto& place = known_names[mixed >> (64 - known_names_bits)];
    if (const known_name* k = place.load(std::memory_order_acquire)) // pairs with the release below
        return k->mangled == mangled ? k->readable : readable_name(type);
    auto made = std::make_unique<const known_name>(mangled, readable_name(type));
    std::string name = made->readable;
    const known_name* nobody = nullptr;
    if (place.compare_exchange_strong(nobody, made.get(), std::memory_order_release,
                                      std::memory_order_relaxed))
        (void)made.release();
    return name;
}

exception_description describe_exception(const std::exception_ptr& e) {
    const std::type_info* type = e ? e.__cxa_exception_type() : nullptr;
    if (!type) return {{}, e ? "unknown exception" : "no exception"};

    void* object = thrown_object(e);
    exception_description d;
    const auto* nesting = caught_as<std::nested_exception>(*type, object);
    d.type = demangle(*type);
    d.text = text_of(*type, object);
    if (nesting) {
        // std::throw_with_nested throws a type of its own, derived from the one that it was given
        constexpr std::string_view wrapper = "std::_Nested_exception<";
        if (d.type.starts_with(wrapper) && d.type.ends_with('>')) {
            d.type = d.type.substr(wrapper.size(), d.type.size() - wrapper.size() - 1);
            if (d.type.ends_with(' ')) d.type.pop_back();
        }
        if (const auto inner = nesting->nested_ptr()) {
            const auto cause = describe_exception(inner);
            d.text += "; caused by ";
            d.text += cause.type;
            d.text += ": ";
            d.text += cause.text;
        }
    }
    return d;
}

} // namespace genever
