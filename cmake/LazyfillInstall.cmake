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
              "${CMAKE_CURRENT_LIST_DIR}/FindUtf8proc.cmake" "${CMAKE_CURRENT_LIST_DIR}/FindPcre2.cmake"
        DESTINATION "${package_dir}")

if(TARGET lazyfill_program)
  install(TARGETS lazyfill_program RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}")
endif()

# Man page and completions are made from the program's own --help, so that they cannot fall behind it.
find_package(Python3 3.9 COMPONENTS Interpreter)
if(NOT TARGET lazyfill_program)
  return()
elseif(CMAKE_CROSSCOMPILING OR NOT Python3_FOUND)
  message(STATUS "No man page and no shell completions: making them needs Python and a program that runs here")
  return()
endif()
set(manual_dir "${PROJECT_BINARY_DIR}/manual")
set(manual lazyfill.1 lazyfill.bash _lazyfill lazyfill.fish)
list(TRANSFORM manual PREPEND "${manual_dir}/")
add_custom_command(
  OUTPUT ${manual}
  COMMAND "${Python3_EXECUTABLE}" "${PROJECT_SOURCE_DIR}/scripts/make_manual.py" "$<TARGET_FILE:lazyfill_program>"
          "${PROJECT_SOURCE_DIR}/docs/lazyfill.1.in" "${manual_dir}"
  DEPENDS lazyfill_program "${PROJECT_SOURCE_DIR}/scripts/make_manual.py" "${PROJECT_SOURCE_DIR}/docs/lazyfill.1.in"
  COMMENT "Writing the man page and the shell completions" VERBATIM)
add_custom_target(lazyfill_manual ALL DEPENDS ${manual})

install(FILES "${manual_dir}/lazyfill.1" DESTINATION "${CMAKE_INSTALL_MANDIR}/man1")
install(FILES "${manual_dir}/lazyfill.bash" RENAME lazyfill
        DESTINATION "${CMAKE_INSTALL_DATADIR}/bash-completion/completions")
install(FILES "${manual_dir}/_lazyfill" DESTINATION "${CMAKE_INSTALL_DATADIR}/zsh/site-functions")
install(FILES "${manual_dir}/lazyfill.fish" DESTINATION "${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d")
