include(GoogleTest)

# One ctest entry a test: a hang or a crash costs and names only the test that did it.
function(genever_discover_tests target prefix)
    gtest_discover_tests(
        ${target}
        TEST_PREFIX ${prefix}.
        DISCOVERY_TIMEOUT 60
        PROPERTIES TIMEOUT ${GENEVER_TEST_TIMEOUT})
endfunction()

# genever_frames_in_cells(target prefix filter)
#
# In a sanitizer's build, the tests that match the filter once more, with the frames where they lie in all other builds: small ones
# behind their processes, in the same cells.
function(genever_frames_in_cells target prefix filter)
    if(NOT GENEVER_BUILD_TESTS OR NOT GENEVER_SANITIZE)
        return()
    endif()
    gtest_discover_tests(
        ${target}
        TEST_FILTER "${filter}"
        TEST_PREFIX ${prefix}.in_cells.
        TEST_LIST ${target}_in_cells
        DISCOVERY_TIMEOUT 60
        PROPERTIES TIMEOUT ${GENEVER_TEST_TIMEOUT} ENVIRONMENT GENEVER_FRAMES_IN_CELLS=1)
endfunction()

# genever_must_not_compile(name file.cpp "regex of the expected message" [option...])
#
# Registers the test must_not_compile.NAME: compiling the file (syntax and templates only) must fail, and the compiler's
# output must match the regex, so that it fails for the reason it should.
function(genever_must_not_compile name file regex)
    if(NOT GENEVER_BUILD_TESTS OR NOT GENEVER_CHECKS)
        return()
    endif()
    cmake_path(ABSOLUTE_PATH file)
    add_test(
        NAME must_not_compile.${name}
        COMMAND
            ${CMAKE_COMMAND} "-Dregex=${regex}" -P "${PROJECT_SOURCE_DIR}/cmake/expect_compile_error.cmake" --
            ${CMAKE_CXX_COMPILER} -std=c++23 -fsyntax-only "-I${PROJECT_SOURCE_DIR}/include" ${ARGN} "${file}")
    set_tests_properties(must_not_compile.${name} PROPERTIES TIMEOUT 120)
endfunction()
