// SPDX-License-Identifier: Apache-2.0
#include "model/tls_library.h"

namespace inferscope {

std::string describe(const TlsLibrary& library) {
  std::string why = library.executable ? "executable" : "";
  if (!library.evidence.empty()) why += (why.empty() ? "" : ", ") + library.evidence;
  return why.empty() ? library.name : library.name + " (" + why + ")";
}

}  // namespace inferscope
