# utf8proc as the target Utf8proc::Utf8proc. Debian's package brings no CMake configuration of its own.
find_path(Utf8proc_INCLUDE_DIR utf8proc.h)
if(LAZYFILL_STATIC_LIBRARIES)
  set(static_name libutf8proc.a)
endif()
find_library(Utf8proc_LIBRARY NAMES ${static_name} utf8proc)
unset(static_name)
mark_as_advanced(Utf8proc_INCLUDE_DIR Utf8proc_LIBRARY)

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(Utf8proc REQUIRED_VARS Utf8proc_LIBRARY Utf8proc_INCLUDE_DIR)
if(Utf8proc_FOUND AND NOT TARGET Utf8proc::Utf8proc)
  add_library(Utf8proc::Utf8proc UNKNOWN IMPORTED)
  set_target_properties(Utf8proc::Utf8proc PROPERTIES IMPORTED_LOCATION "${Utf8proc_LIBRARY}"
                                                      INTERFACE_INCLUDE_DIRECTORIES "${Utf8proc_INCLUDE_DIR}")
endif()
