// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "discover/elf/elf_file.h"
#include "discover/elf/elf_symbols.h"
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

/// By the names of all functions, if the file has them, and those that Go's always have. Costs reading some megabytes
/// of a large file.
TlsContent static_tls(const ElfFile& file);

/// One of OpenSSL's functions or of GnuTLS's, and where it is.
struct NamedFunction {
  TlsFunction function{};
  std::string symbol{};
  ElfFunction code{};
};
/// Probes on functions of one library, where they cost least: some of them on one that several hand on to.
std::vector<TlsProbe> tls_probes(const std::vector<NamedFunction>& functions, const ElfFile& file);

}  // namespace inferscope::discover
