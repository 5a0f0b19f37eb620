# Configures, builds and runs the consumer project against Genever as it is found: -Dway=find_package installs the
# build tree into a fresh prefix first, -Dway=add_subdirectory uses the source tree.
file(REMOVE_RECURSE "${work}")

function(run)
    execute_process(COMMAND ${ARGN} COMMAND_ECHO STDOUT COMMAND_ERROR_IS_FATAL ANY)
endfunction()

set(arguments "-DCMAKE_CXX_COMPILER=${compiler}" "-DCMAKE_BUILD_TYPE=${build_type}")
if(way STREQUAL "find_package")
    run("${CMAKE_COMMAND}" --install "${build}" --prefix "${work}/prefix")
    list(APPEND arguments "-DCMAKE_PREFIX_PATH=${work}/prefix")
else()
    list(APPEND arguments "-DGENEVER_SOURCE=${source}" "-DGENEVER_WERROR=${werror}"
         "-DCMAKE_CXX_FLAGS_RELWITHDEBINFO=${flags}")
    if(launcher)
        list(APPEND arguments "-DCMAKE_CXX_COMPILER_LAUNCHER=${launcher}")
        set(ENV{CCACHE_NOHASHDIR} 1)
    endif()
endif()

run("${CMAKE_COMMAND}" -G "${generator}" -S "${CMAKE_CURRENT_LIST_DIR}/consumer" -B "${work}/build" ${arguments})
run("${CMAKE_COMMAND}" --build "${work}/build" --parallel 2 --target app)
run("${work}/build/app")
