// SPDX-License-Identifier: Apache-2.0
#include "discover/tls_functions.h"

#include <string.h>

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

/// A label of the protocol (RFC 7627): no implementation can do without.
constexpr std::string_view label = "extended master secret";
constexpr std::uint64_t constants_read = 16u << 20;
constexpr std::size_t block = 256u << 10;

std::vector<std::string_view> all_names() {
  std::vector<std::string_view> names;
  for (const Family family : families)
    for (const Symbol& symbol : family) names.push_back(symbol.name);
  return names;
}

TlsProbe probe_of(const Symbol& symbol, const ElfFunction& function, const ElfFile& file) {
  const std::uint64_t begin = function.offset;
  auto code = file.table_at<std::byte>(begin, function.size, longest_function);
  if (code.size() != function.size) code.clear();
  const Placement placement = place_probes(code);
  TlsProbe probe{.function = symbol.function, .symbol = std::string(symbol.name), .begin = begin};
  probe.entry = {begin + placement.entry.offset, placement.entry.stack};
  probe.return_address = begin + placement.return_address;
  for (const CodePlace& exit : placement.exits) probe.exits.push_back({begin + exit.offset, exit.stack});
  return probe;
}

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
        content.probes.push_back(probe_of(symbol, found->second, file));
  }
  return content;
}

/// In the first part of its constants.
bool has_label(const ElfFile& file) {
  const FileRange constants = file.section(".rodata");
  const std::uint64_t size = std::min(constants.size, constants_read);
  std::vector<std::byte> buffer(label.size() + block);
  std::size_t kept = 0;
  for (std::uint64_t at = 0; at < size;) {
    const auto wanted = static_cast<std::size_t>(std::min<std::uint64_t>(block, size - at));
    const std::size_t got = file.read(constants.offset + at, std::span(buffer).subspan(kept, wanted));
    const std::size_t there = kept + got;
    if (memmem(buffer.data(), there, label.data(), label.size()) != nullptr) return true;
    if (got < wanted) return false;
    at += got;
    const std::size_t keep = std::min(label.size(), there);
    memmove(buffer.data(), buffer.data() + there - keep, keep);
    kept = keep;
  }
  return false;
}

}  // namespace

TlsContent exported_tls(const ElfFile& file) {
  return content_of(exported_functions(file, all_names()), file, ".dynsym");
}

TlsContent static_tls(const ElfFile& file, bool executable) {
  const auto functions = static_functions(file, all_names());
  if (!functions) return {{}, ".symtab", functions.error().text()};
  TlsContent content = content_of(*functions, file, ".symtab");
  if (content.evidence.empty() && executable && has_label(file))
    content = {{}, ".rodata", "its functions have no names that are known: stripped, or another library"};
  return content;
}

}  // namespace inferscope::discover
