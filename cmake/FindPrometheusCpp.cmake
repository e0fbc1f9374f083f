# The core of prometheus-cpp alone: its own CMake configuration wants libraries for the other parts too.
find_path(PrometheusCpp_INCLUDE_DIR prometheus/registry.h)
find_library(PrometheusCpp_LIBRARY prometheus-cpp-core)
mark_as_advanced(PrometheusCpp_INCLUDE_DIR PrometheusCpp_LIBRARY)

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(PrometheusCpp REQUIRED_VARS PrometheusCpp_LIBRARY PrometheusCpp_INCLUDE_DIR)
if(PrometheusCpp_FOUND AND NOT TARGET PrometheusCpp::Core)
  add_library(PrometheusCpp::Core UNKNOWN IMPORTED)
  set_target_properties(PrometheusCpp::Core PROPERTIES IMPORTED_LOCATION "${PrometheusCpp_LIBRARY}"
                                                    INTERFACE_INCLUDE_DIRECTORIES "${PrometheusCpp_INCLUDE_DIR}")
endif()
