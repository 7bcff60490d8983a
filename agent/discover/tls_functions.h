// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "discover/elf_file.h"
#include "discover/elf_symbols.h"
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

/// By the names of all functions, if the file has them. Costs reading some megabytes of a large file.
TlsContent static_tls(const ElfFile& file);

/// A probe on a function, at the places of its code where that costs least.
TlsProbe tls_probe(TlsFunction kind, std::string_view symbol, const ElfFunction& function, const ElfFile& file);

}  // namespace inferscope::discover
