# Third-party libraries; docs/dependencies.md says what each is for. genever-config.cmake.in repeats the list for
# consumers of an installed package.

# The reference platform's versions; Boost_NO_BOOST_CMAKE and the like are the caller's business.
find_package(Boost 1.81 CONFIG REQUIRED COMPONENTS json)
find_package(fmt 9 CONFIG REQUIRED)
find_package(spdlog 1.10 CONFIG REQUIRED)
set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads REQUIRED)

# libbacktrace ships inside GCC's own library folder: every compiler driver that uses GCC's runtime finds the
# library there by name, but only GCC itself finds the header. Sets GENEVER_BACKTRACE_OPTIONS.
include(CheckCXXSourceCompiles)
set(backtrace_probe "#include <backtrace.h>
    int main() { return backtrace_create_state(nullptr, 1, nullptr, nullptr) == nullptr; }")
set(CMAKE_REQUIRED_LIBRARIES backtrace)
check_cxx_source_compiles("${backtrace_probe}" GENEVER_BACKTRACE_PLAIN)
set(GENEVER_BACKTRACE_OPTIONS "")
if(NOT GENEVER_BACKTRACE_PLAIN)
    find_program(GENEVER_GCC NAMES gcc gcc-12)
    if(GENEVER_GCC)
        execute_process(
            COMMAND "${GENEVER_GCC}" -print-file-name=include
            OUTPUT_VARIABLE gcc_include OUTPUT_STRIP_TRAILING_WHITESPACE)
        # After every other folder: GCC's versions of <stddef.h> and the intrinsics must not hide this compiler's own.
        set(CMAKE_REQUIRED_FLAGS "-idirafter ${gcc_include}")
        check_cxx_source_compiles("${backtrace_probe}" GENEVER_BACKTRACE_FROM_GCC)
        unset(CMAKE_REQUIRED_FLAGS)
    endif()
    if(NOT GENEVER_BACKTRACE_FROM_GCC)
        message(FATAL_ERROR "libbacktrace not found: on Debian it comes with libgcc-12-dev (package g++)")
    endif()
    set(GENEVER_BACKTRACE_OPTIONS "SHELL:-idirafter ${gcc_include}")
endif()
unset(CMAKE_REQUIRED_LIBRARIES)

if(GENEVER_BUILD_TESTS)
    find_package(GTest CONFIG REQUIRED)
    find_package(Python3 3.9 REQUIRED COMPONENTS Interpreter)
endif()
