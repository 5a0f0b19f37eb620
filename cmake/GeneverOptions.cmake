# The project's switches, and what applies to every target of our own build. Nothing here reaches a consumer.

option(GENEVER_BUILD_TESTS "Build the tests" ${PROJECT_IS_TOP_LEVEL})
option(GENEVER_BUILD_EXAMPLES "Build the examples" ${PROJECT_IS_TOP_LEVEL})
option(GENEVER_BUILD_BENCHMARKS "Build the benchmarks" ${PROJECT_IS_TOP_LEVEL})
option(GENEVER_BUILD_FUZZERS "Build the fuzz targets (Clang)" OFF)
option(GENEVER_INSTALL "Generate the install rules and the CMake package" ${PROJECT_IS_TOP_LEVEL})
option(GENEVER_WERROR "Treat warnings as errors" OFF)
option(GENEVER_CHECKS "Register the tests that run a compiler: headers alone, must not compile, install"
       ${PROJECT_IS_TOP_LEVEL})
option(GENEVER_HARDWARE_FAULTS
       "With GCC: compile with -fnon-call-exceptions, consumers too, so that faults in processes become exceptions" ON)
set(GENEVER_SANITIZE "" CACHE STRING "Sanitizers to build with: address;undefined or thread")
set(GENEVER_TEST_TIMEOUT 60 CACHE STRING "Seconds after which a single test counts as hung")

if(PROJECT_IS_TOP_LEVEL)
    if(GENEVER_BUILD_TESTS)
        enable_testing()
    endif()
    set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

    find_program(GENEVER_CCACHE ccache)
    if(GENEVER_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
        set(CMAKE_CXX_COMPILER_LAUNCHER "${GENEVER_CCACHE}")
    endif()

    # A faster linker where one works with this compiler: linking the test executables is a good part of a rebuild.
    include(CheckCXXSourceCompiles)
    foreach(linker IN ITEMS mold lld)
        set(CMAKE_REQUIRED_LINK_OPTIONS "-fuse-ld=${linker}")
        check_cxx_source_compiles("int main() { return 0; }" GENEVER_LINKS_WITH_${linker})
        unset(CMAKE_REQUIRED_LINK_OPTIONS)
        if(GENEVER_LINKS_WITH_${linker})
            add_link_options("-fuse-ld=${linker}")
            break()
        endif()
    endforeach()
endif()

if(GENEVER_SANITIZE)
    list(JOIN GENEVER_SANITIZE "," sanitizers)
    add_compile_options("-fsanitize=${sanitizers}" -fno-sanitize-recover=all)
    add_link_options("-fsanitize=${sanitizers}")
    if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
        # GCC documents that the sanitizers' instrumentation confuses this warning.
        add_compile_options(-Wno-maybe-uninitialized)
        if("thread" IN_LIST GENEVER_SANITIZE)
            # GCC says that it does not instrument std::atomic_thread_fence; the code does not rely on it there.
            add_compile_options(-Wno-tsan)
        endif()
    endif()
endif()

# What every target of ours compiles with, tests and examples included.
function(genever_own_flags target)
    target_compile_options(${target} PRIVATE -Wall -Wextra $<$<BOOL:${GENEVER_WERROR}>:-Werror>)
    # Our libraries are position independent and static: nobody interposes their functions, so they may be inlined.
    target_compile_options(${target} PRIVATE $<$<COMPILE_LANG_AND_ID:CXX,GNU>:-fno-semantic-interposition>)
    set_target_properties(${target} PROPERTIES CXX_EXTENSIONS OFF)
endfunction()
