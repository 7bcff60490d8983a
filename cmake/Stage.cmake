# SPDX-License-Identifier: Apache-2.0
# inferscope_stage(NAME DEPENDS other stages… LIBRARIES imported targets…)
#   Makes the library inferscope_NAME from every .cpp file of the current folder, so that a new protocol, dialect,
#   detector or exporter needs no edit here. A stage sees the stages it names and nothing else.
function(inferscope_stage name)
  cmake_parse_arguments(STAGE "" "" "DEPENDS;LIBRARIES;PRIVATE_LIBRARIES" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cpp)
  set(target inferscope_${name})
  if(sources)
    add_library(${target} STATIC ${sources})
    set(scope PUBLIC)
    target_link_libraries(${target} PRIVATE ${STAGE_PRIVATE_LIBRARIES})
  else()
    add_library(${target} INTERFACE)
    set(scope INTERFACE)
  endif()
  list(TRANSFORM STAGE_DEPENDS PREPEND inferscope_)
  target_link_libraries(${target} ${scope} inferscope_options ${STAGE_DEPENDS} ${STAGE_LIBRARIES})
endfunction()
