// Readable names: of types, of symbols, and of whatever was thrown.
#pragma once

#include <exception>
#include <string>
#include <typeinfo>

namespace genever {

/// The readable name of a symbol, as `foo(int)` for `_Z3fooi`: without the compiler's clone suffixes, with
/// `std::string` spelled so, and with the resume function of a coroutine named as the coroutine itself. A
/// name that is not mangled (a C function's) comes back as it is, a null pointer as an empty string. Any
/// thread. Throws only `std::bad_alloc`.
std::string demangle(const char* symbol);

/// The readable name of a type. Any thread. Throws only `std::bad_alloc`.
std::string demangle(const std::type_info& type);

/// What there is to say about an exception.
struct exception_description {
    std::string type; ///< its demangled type; empty for no exception, and for another language's
    std::string text; ///< `what()`, or the value thrown; "unknown exception" where neither can be told
};

/// Describes an exception without rethrowing it. The text is `what()` of a `std::exception`, the contents of
/// a string, the value of a number, the message of a `std::error_code`. What `std::throw_with_nested` put
/// inside follows, as `outer; caused by std::runtime_error: inner`. Any thread that holds the pointer. Throws
/// only `std::bad_alloc`.
exception_description describe_exception(const std::exception_ptr& e);

} // namespace genever
