# SPDX-License-Identifier: Apache-2.0
# inferscope_headers(NAME header…): compiles what many files include, once.
# inferscope_with_headers(TARGET NAME): uses it; both have to be compiled with the same options.
function(inferscope_headers name)
  file(CONFIGURE OUTPUT ${CMAKE_CURRENT_BINARY_DIR}/${name}.cpp CONTENT "")
  add_library(${name} OBJECT ${CMAKE_CURRENT_BINARY_DIR}/${name}.cpp)
  target_link_libraries(${name} PRIVATE inferscope_options Threads::Threads lib_fmt)
  target_precompile_headers(${name} PRIVATE ${ARGN} <fmt/format.h> <algorithm> <array> <chrono> <filesystem> <fstream>
    <functional> <map> <memory> <optional> <random> <set> <span> <string> <string_view> <thread> <utility> <variant>
    <vector>)
endfunction()
# GCC 12 then warns of copies inside of std::string (GCC bugs 105651, 105329), as it does not where it reads <string>.
function(inferscope_with_headers target name)
  set(wrong -Wno-restrict -Wno-array-bounds -Wno-stringop-overflow -Wno-stringop-overread)
  target_compile_options(${target} PRIVATE "$<$<CXX_COMPILER_ID:GNU>:${wrong}>")
  target_precompile_headers(${target} REUSE_FROM ${name})
endfunction()
