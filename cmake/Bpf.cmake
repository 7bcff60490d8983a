# SPDX-License-Identifier: Apache-2.0
# inferscope_bpf(TARGET probe…): compiles bpf/probes/PROBE.bpf.c with CO-RE and embeds the objects in TARGET as the
# symbols bpf_PROBE_begin and bpf_PROBE_end.
find_program(BPF_CLANG NAMES clang-14 clang-15 clang-16 clang-17 clang-18 clang-19 clang REQUIRED)
find_program(BPF_STRIP NAMES llvm-strip-14 llvm-strip-15 llvm-strip-16 llvm-strip-17 llvm-strip-18 llvm-strip-19 llvm-strip REQUIRED)
string(TOUPPER ${CMAKE_SYSTEM_PROCESSOR} processor)
if(processor STREQUAL "X86_64" OR processor STREQUAL "AMD64")
  set(bpf_arch x86)
elseif(processor STREQUAL "AARCH64")
  set(bpf_arch arm64)
endif()
set(bpf_flags -O2 -g -target bpf -mcpu=v2 -Wall -Wextra -Wno-sign-compare -Wno-unused-parameter -Werror
  -D__TARGET_ARCH_${bpf_arch} -I${CMAKE_SOURCE_DIR}/bpf -isystem /usr/include/${CMAKE_CXX_LIBRARY_ARCHITECTURE})
file(GLOB bpf_headers CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/bpf/abi/*.h ${CMAKE_SOURCE_DIR}/bpf/lib/*.h)

function(inferscope_bpf target)
  foreach(probe IN LISTS ARGN)
    set(source ${CMAKE_SOURCE_DIR}/bpf/probes/${probe}.bpf.c)
    set(object ${CMAKE_CURRENT_BINARY_DIR}/${probe}.bpf.o)
    set(embed ${CMAKE_CURRENT_BINARY_DIR}/${probe}.bpf.S)
    add_custom_command(OUTPUT ${object}
      COMMAND ${BPF_CLANG} ${bpf_flags} -c ${source} -o ${object}
      COMMAND ${BPF_STRIP} -g ${object}
      DEPENDS ${source} ${bpf_headers} COMMENT "BPF ${probe}" VERBATIM)
    file(CONFIGURE OUTPUT ${embed} @ONLY CONTENT [[
    .section .rodata
    .balign 16
    .global bpf_@probe@_begin, bpf_@probe@_end
bpf_@probe@_begin:
    .incbin "@object@"
bpf_@probe@_end:
    .section .note.GNU-stack,"",%progbits
]])
    set_source_files_properties(${embed} PROPERTIES OBJECT_DEPENDS ${object})
    target_sources(${target} PRIVATE ${embed})
  endforeach()
endfunction()
