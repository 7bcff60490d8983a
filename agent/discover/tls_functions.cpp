// SPDX-License-Identifier: Apache-2.0
#include "discover/tls_functions.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>
#include <string_view>

#include "discover/elf_symbols.h"
#include "discover/probe_placement.h"

namespace inferscope::discover {
namespace {

struct Symbol {
  std::string_view name;
  TlsFunction function;
};
using Family = std::span<const Symbol>;

/// Each probe costs the kernel a grace period when it is taken out, so only those without which something is missed:
/// once a handshake has told that a connection is TLS, what other functions move on it is no plaintext.
constexpr std::array openssl{
    Symbol{"SSL_do_handshake", TlsFunction::inner}, Symbol{"SSL_peek", TlsFunction::inner},
    Symbol{"SSL_read", TlsFunction::read},          Symbol{"SSL_write", TlsFunction::write},
    Symbol{"SSL_read_ex", TlsFunction::read_ex},    Symbol{"SSL_write_ex", TlsFunction::write_ex},
    Symbol{"SSL_free", TlsFunction::free}};
constexpr std::array gnutls{
    Symbol{"gnutls_handshake", TlsFunction::inner}, Symbol{"gnutls_record_recv", TlsFunction::read},
    Symbol{"gnutls_record_send", TlsFunction::write}, Symbol{"gnutls_deinit", TlsFunction::free}};

/// One for each library; BoringSSL has OpenSSL's names.
constexpr std::array<Family, 2> families{openssl, gnutls};

std::vector<std::string_view> all_names() {
  std::vector<std::string_view> names;
  for (const Family family : families)
    for (const Symbol& symbol : family) names.push_back(symbol.name);
  return names;
}

}  // namespace

TlsProbe tls_probe(TlsFunction kind, std::string_view symbol, const ElfFunction& function, const ElfFile& file) {
  const std::uint64_t begin = function.offset;
  auto code = file.table_at<std::byte>(begin, function.size, longest_function);
  if (code.size() != function.size) code.clear();
  const Placement placement = place_probes(code);
  TlsProbe probe{.function = kind, .symbol = std::string(symbol), .begin = begin};
  probe.entry = {begin + placement.entry.offset, placement.entry.stack};
  probe.return_address = begin + placement.return_address;
  for (const CodePlace& exit : placement.exits) probe.exits.push_back({begin + exit.offset, exit.stack});
  return probe;
}

namespace {

TlsContent content_of(const ElfFunctions& functions, const ElfFile& file, const char* table) {
  TlsContent content;
  for (const Family family : families) {
    const auto defines = [&](TlsFunction kind) {
      return std::any_of(family.begin(), family.end(), [&](const Symbol& symbol) {
        return symbol.function == kind && functions.contains(symbol.name);
      });
    };
    if (!defines(TlsFunction::read) || !defines(TlsFunction::write)) continue;
    content.evidence = table;
    for (const Symbol& symbol : family)
      if (const auto found = functions.find(symbol.name); found != functions.end())
        content.probes.push_back(tls_probe(symbol.function, symbol.name, found->second, file));
  }
  return content;
}

}  // namespace

TlsContent exported_tls(const ElfFile& file) {
  return content_of(exported_functions(file, all_names()), file, ".dynsym");
}

TlsContent static_tls(const ElfFile& file) {
  const auto functions = static_functions(file, all_names());
  if (!functions) return {{}, ".symtab", functions.error().text()};
  return content_of(*functions, file, ".symtab");
}

}  // namespace inferscope::discover
