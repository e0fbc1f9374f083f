# What `cmake --install` lays down: the program with its man page and shell completions, the library with its
# headers, and the CMake package through which others find it.
include(CMakePackageConfigHelpers)
include(GNUInstallDirs)

install(TARGETS lazyfill EXPORT lazyfillTargets ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}"
        INCLUDES DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}")
install(DIRECTORY "${PROJECT_SOURCE_DIR}/include/lazyfill" DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}")

set(package_dir "${CMAKE_INSTALL_LIBDIR}/cmake/lazyfill")
install(EXPORT lazyfillTargets NAMESPACE lazyfill:: DESTINATION "${package_dir}")
configure_package_config_file("${CMAKE_CURRENT_LIST_DIR}/lazyfillConfig.cmake.in"
                              "${PROJECT_BINARY_DIR}/lazyfillConfig.cmake" INSTALL_DESTINATION "${package_dir}")
write_basic_package_version_file("${PROJECT_BINARY_DIR}/lazyfillConfigVersion.cmake" COMPATIBILITY SameMinorVersion)
install(FILES "${PROJECT_BINARY_DIR}/lazyfillConfig.cmake" "${PROJECT_BINARY_DIR}/lazyfillConfigVersion.cmake"
              "${CMAKE_CURRENT_LIST_DIR}/FindUtf8proc.cmake" DESTINATION "${package_dir}")

if(TARGET lazyfill_program)
  install(TARGETS lazyfill_program RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}")
endif()
