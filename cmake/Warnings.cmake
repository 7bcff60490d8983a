# SPDX-License-Identifier: Apache-2.0
# One interface target that everything of ours is compiled with: warnings are errors, sanitizers by preset.
add_library(inferscope_options INTERFACE)
target_compile_options(inferscope_options INTERFACE
  -Wall -Wextra -Wconversion -Wshadow -fno-omit-frame-pointer)
# GCC's own manual warns of errors from warnings with sanitizers, which make it see more than there is. The same sources
# are compiled without sanitizers, too.
if(NOT INFERSCOPE_SANITIZE OR NOT CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  target_compile_options(inferscope_options INTERFACE -Werror)
endif()
# GCC 12 to 14 see uninitialised members in moved std::variant and std::optional values (GCC bugs 80635, 105593).
target_compile_options(inferscope_options INTERFACE $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)
target_include_directories(inferscope_options INTERFACE ${CMAKE_SOURCE_DIR}/agent ${CMAKE_SOURCE_DIR})
if(INFERSCOPE_SANITIZE)
  target_compile_options(inferscope_options INTERFACE -fsanitize=${INFERSCOPE_SANITIZE} -fno-sanitize-recover=all)
  target_link_options(inferscope_options INTERFACE -fsanitize=${INFERSCOPE_SANITIZE})
  if(INFERSCOPE_SANITIZE MATCHES "undefined")
    # RapidJSON 1.1.0 tests the room on an empty stack by adding to a null pointer.
    target_compile_options(inferscope_options INTERFACE -fno-sanitize=pointer-overflow)
  endif()
endif()
if(INFERSCOPE_FUZZ)
  target_compile_options(inferscope_options INTERFACE -fsanitize=fuzzer-no-link)
endif()
