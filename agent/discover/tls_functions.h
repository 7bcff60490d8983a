// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "discover/elf_file.h"
#include "model/tls_library.h"

namespace inferscope::discover {

/// What a file has of TLS. It is evidence if it defines both a function that reads plaintext and one that writes it.
struct TlsContent {
  std::vector<TlsProbe> probes{};
  std::string evidence{};  ///< what tells of it, as in TlsLibrary; empty: nothing does
  std::string problem{};   ///< why there are no probes; empty: there are, or there is no TLS
};

/// By functions to which others can link. Costs some reads of a few bytes.
TlsContent exported_tls(const ElfFile& file);

/// By the names of all functions, if the file has them, and those that a Go executable always has. An executable that
/// has none is searched for a text that each implementation of TLS contains, so that what stays hidden can be told.
/// Costs reading some megabytes of a large file.
TlsContent static_tls(const ElfFile& file, bool executable);

}  // namespace inferscope::discover
