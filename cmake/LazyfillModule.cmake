# One call per folder under src/: the folder's sources become part of the one library `lazyfill`, and the
# tests that lie beside them become one executable `NAME_tests`, each case of which ctest knows by name.
#
#   lazyfill_module(NAME SOURCES a.cc b.cc [TESTS a_test.cc])
#
# Per-file compiler flags (instruction sets) are set with set_source_files_properties in the folder itself.
function(lazyfill_module NAME)
  cmake_parse_arguments(ARG "" "" "SOURCES;TESTS" ${ARGN})
  if(NOT ARG_SOURCES)
    return()
  endif()
  add_library(lazyfill_${NAME} OBJECT ${ARG_SOURCES})
  target_link_libraries(lazyfill_${NAME} PRIVATE lazyfill_flags)
  set_property(GLOBAL APPEND PROPERTY LAZYFILL_MODULES lazyfill_${NAME})
  if(LAZYFILL_BUILD_TESTS AND ARG_TESTS)
    list(TRANSFORM ARG_TESTS PREPEND "${CMAKE_CURRENT_SOURCE_DIR}/")
    set_property(GLOBAL APPEND PROPERTY LAZYFILL_TEST_MODULES ${NAME})
    set_property(GLOBAL PROPERTY LAZYFILL_TESTS_${NAME} ${ARG_TESTS})
  endif()
endfunction()
