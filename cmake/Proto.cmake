# SPDX-License-Identifier: Apache-2.0
# inferscope_proto(TARGET ROOT file.proto…): generates C++ for files below ROOT and compiles it into TARGET. The code is
# the generator's, so it is compiled without our warnings.
function(inferscope_proto target root)
  set(out ${CMAKE_CURRENT_BINARY_DIR}/proto)
  file(MAKE_DIRECTORY ${out})
  set(generated)
  foreach(proto IN LISTS ARGN)
    string(REGEX REPLACE "\\.proto$" ".pb" base ${out}/${proto})
    add_custom_command(OUTPUT ${base}.cc ${base}.h
      COMMAND protobuf::protoc --proto_path=${root} --cpp_out=${out} ${root}/${proto}
      DEPENDS ${root}/${proto} VERBATIM)
    list(APPEND generated ${base}.cc ${base}.h)
  endforeach()
  add_library(${target}_proto STATIC ${generated})
  target_include_directories(${target}_proto SYSTEM PUBLIC ${out})
  target_link_libraries(${target}_proto PUBLIC protobuf::libprotobuf)
  if(INFERSCOPE_SANITIZE)
    target_compile_options(${target}_proto PRIVATE -fsanitize=${INFERSCOPE_SANITIZE})
  endif()
  target_link_libraries(${target} PRIVATE ${target}_proto)
endfunction()
