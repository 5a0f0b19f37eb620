# The installed package: find_package(genever CONFIG) gives genever::genever and one target a room.
include(CMakePackageConfigHelpers)

set(package_dir "${CMAKE_INSTALL_LIBDIR}/cmake/genever")
get_property(rooms GLOBAL PROPERTY GENEVER_ROOMS)
install(TARGETS genever ${rooms} EXPORT genever_targets ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}")
install(DIRECTORY "${PROJECT_SOURCE_DIR}/include/genever" DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}"
        FILES_MATCHING PATTERN "*.hpp")
install(EXPORT genever_targets NAMESPACE genever:: FILE genever-targets.cmake DESTINATION "${package_dir}")
configure_package_config_file(
    "${PROJECT_SOURCE_DIR}/cmake/genever-config.cmake.in" "${PROJECT_BINARY_DIR}/genever-config.cmake"
    INSTALL_DESTINATION "${package_dir}")
# Before 1.0, a new minor version may break its users.
write_basic_package_version_file("${PROJECT_BINARY_DIR}/genever-config-version.cmake" COMPATIBILITY SameMinorVersion)
install(FILES "${PROJECT_BINARY_DIR}/genever-config.cmake" "${PROJECT_BINARY_DIR}/genever-config-version.cmake"
        DESTINATION "${package_dir}")
