# SPDX-License-Identifier: Apache-2.0
# Libraries from the distribution's packages (scripts/lib/packages.sh installs them). Their static forms, so that one set
# of objects gives both the agent and the fully static agent.
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
set(CMAKE_FIND_LIBRARY_SUFFIXES .a .so)
set(OPENSSL_USE_STATIC_LIBS ON)
set(Protobuf_USE_STATIC_LIBS ON)
find_package(ZLIB REQUIRED)
find_package(OpenSSL REQUIRED)
find_package(Protobuf REQUIRED)

# One imported target from library files by name; the first library's header must be found.
function(inferscope_library target header)
  find_path(${target}_INCLUDE ${header} REQUIRED)
  add_library(${target} INTERFACE IMPORTED GLOBAL)
  target_include_directories(${target} SYSTEM INTERFACE ${${target}_INCLUDE})
  foreach(name IN LISTS ARGN)
    find_library(${target}_${name} ${name} REQUIRED)
    target_link_libraries(${target} INTERFACE ${${target}_${name}})
  endforeach()
endfunction()

inferscope_library(lib_zstd zstd.h zstd)
inferscope_library(lib_brotli brotli/decode.h brotlidec brotlicommon)
inferscope_library(lib_nghttp2 nghttp2/nghttp2.h nghttp2)
inferscope_library(lib_bpf bpf/libbpf.h bpf elf z)
inferscope_library(lib_capstone capstone/capstone.h capstone)
inferscope_library(lib_yaml yaml-cpp/yaml.h yaml-cpp)
inferscope_library(lib_event event2/event.h event_openssl event_pthreads event)
inferscope_library(lib_sqlite sqlite3.h sqlite3)
inferscope_library(lib_rapidjson rapidjson/reader.h)
inferscope_library(lib_msgpack msgpack/unpack.hpp)
target_compile_definitions(lib_msgpack INTERFACE MSGPACK_NO_BOOST)
inferscope_library(lib_cli11 CLI/CLI.hpp)
# fmt and spdlog have no static form in Debian, so the agent is compiled with their headers alone. What is built without
# the agent (sanitizers, fuzzing) takes the shared ones, which halves the time to compile it.
if(INFERSCOPE_AGENT)
  inferscope_library(lib_fmt fmt/format.h)
  target_compile_definitions(lib_fmt INTERFACE FMT_HEADER_ONLY SPDLOG_FMT_EXTERNAL SPDLOG_HEADER_ONLY)
else()
  inferscope_library(lib_fmt fmt/format.h spdlog fmt)
  target_compile_definitions(lib_fmt INTERFACE SPDLOG_FMT_EXTERNAL SPDLOG_COMPILED_LIB)
endif()
