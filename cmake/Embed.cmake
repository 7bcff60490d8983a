# SPDX-License-Identifier: Apache-2.0
# inferscope_embed_policies(TARGET): compiles the texts of policies/*.yaml into TARGET, so that the agent has them on a
# host where nothing else is installed. agent/policy/shipped.h declares what is generated here.
function(inferscope_embed_policies target)
  file(GLOB files CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/policies/*.yaml)
  set(entries "")
  foreach(file IN LISTS files)
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${file})
    get_filename_component(name ${file} NAME)
    file(READ ${file} text)
    string(APPEND entries "      {\"policies/${name}\", R\"policy(${text})policy\"},\n")
  endforeach()
  set(source ${CMAKE_CURRENT_BINARY_DIR}/shipped.cpp)
  file(CONFIGURE OUTPUT ${source} @ONLY CONTENT [[
#include "policy/shipped.h"

namespace inferscope::policy {

const std::vector<ShippedFile>& shipped_files() {
  static const std::vector<ShippedFile> files{
@entries@  };
  return files;
}

}  // namespace inferscope::policy
]])
  target_sources(${target} PRIVATE ${source})
endfunction()
