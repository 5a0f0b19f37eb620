# genever_room(NAME
#     [DEPENDS room...]        rooms below this one, public
#     [SOURCES file...]        none: a room of headers only
#     [TESTS file...]          one executable, genever_NAME_tests
#     [PUBLIC_LIBS lib...]     a consumer's code sees these
#     [PRIVATE_LIBS lib...]    only our sources see these
#     [PRIVATE_OPTIONS opt...]
#     [TEST_LIBS lib...]
#     [PROCESSES_RUN_ON_IT])   a fault in its code is never an exception in the process that called it
#
# Makes the library genever_NAME (alias genever::NAME) from the calling folder's files, each named by hand. A room with
# neither sources nor tests is not open yet and is left out.
function(genever_room name)
    cmake_parse_arguments(
        PARSE_ARGV 1 room "PROCESSES_RUN_ON_IT" "" "DEPENDS;SOURCES;TESTS;PUBLIC_LIBS;PRIVATE_LIBS;PRIVATE_OPTIONS;TEST_LIBS")
    if(room_UNPARSED_ARGUMENTS)
        message(FATAL_ERROR "genever_room(${name}): what is '${room_UNPARSED_ARGUMENTS}'?")
    endif()
    if(NOT room_SOURCES AND NOT room_TESTS)
        message(STATUS "genever: room '${name}' lists no files yet")
        return()
    endif()
    set(below "")
    foreach(dependency IN LISTS room_DEPENDS)
        if(NOT TARGET genever_${dependency})
            message(WARNING "genever: room '${name}' waits for room '${dependency}'")
            return()
        endif()
        list(APPEND below genever_${dependency})
    endforeach()

    set(target genever_${name})
    if(room_SOURCES)
        add_library(${target} STATIC ${room_SOURCES})
        genever_own_flags(${target})
        target_compile_options(${target} PRIVATE ${room_PRIVATE_OPTIONS})
        # See docs/performance.md, where the rest of a small request goes. Who has asked for another level gets that.
        if(CMAKE_CXX_FLAGS_RELWITHDEBINFO MATCHES "-O2" AND NOT GENEVER_SANITIZE)
            target_compile_options(${target} PRIVATE $<$<CONFIG:RelWithDebInfo>:-O3>)
        endif()
        target_link_libraries(${target} PUBLIC ${below} ${room_PUBLIC_LIBS} PRIVATE ${room_PRIVATE_LIBS})
        set_target_properties(${target} PROPERTIES POSITION_INDEPENDENT_CODE ON)
        if(room_PROCESSES_RUN_ON_IT)
            genever_own_section(${target})
        endif()
        set(visibility PUBLIC)
    else()
        add_library(${target} INTERFACE)
        target_link_libraries(${target} INTERFACE ${below} ${room_PUBLIC_LIBS})
        set(visibility INTERFACE)
    endif()
    add_library(genever::${name} ALIAS ${target})
    set_target_properties(${target} PROPERTIES EXPORT_NAME ${name})
    target_compile_features(${target} ${visibility} cxx_std_23)
    target_include_directories(
        ${target} ${visibility} $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
        $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
    set_property(GLOBAL APPEND PROPERTY GENEVER_ROOMS ${target})

    if(GENEVER_BUILD_TESTS AND room_TESTS)
        add_executable(${target}_tests ${room_TESTS})
        genever_own_flags(${target}_tests)
        target_link_libraries(${target}_tests PRIVATE ${target} ${room_TEST_LIBS} GTest::gtest_main)
        # Private headers sit beside the sources; a test may look at them as "room/x.hpp".
        target_include_directories(${target}_tests PRIVATE "${PROJECT_SOURCE_DIR}/src")
        genever_discover_tests(${target}_tests ${name})
    endif()
    if(room_SOURCES)
        target_include_directories(${target} PRIVATE "${PROJECT_SOURCE_DIR}/src")
    endif()
endfunction()

# Puts the functions of a static library, but for inline ones, into the section genever_text: the linker gives its bounds,
# by which the fault handler (src/runtime/fault_handler.cpp) knows the runtime's code from the program's. No compiler has an
# option for that. Without the section faults are not thrown.
function(genever_own_section target)
    if(NOT GENEVER_HARDWARE_FAULTS OR NOT CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
        return()
    endif()
    if(NOT CMAKE_OBJCOPY)
        message(WARNING "genever: without objcopy, hardware faults do not become exceptions")
        return()
    endif()
    set(renames "")
    foreach(section IN ITEMS .text .text.unlikely .text.hot .text.startup)
        list(APPEND renames --rename-section "${section}=genever_text")
    endforeach()
    add_custom_command(
        TARGET ${target} POST_BUILD
        COMMAND "${CMAKE_OBJCOPY}" ${renames} "$<TARGET_FILE:${target}>"
        VERBATIM)
endfunction()
