// SPDX-License-Identifier: Apache-2.0
#include "discover/tls_functions.h"

#include <fmt/format.h>
#include <string.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <optional>
#include <span>
#include <string_view>
#include <utility>

#include "discover/elf_symbols.h"
#include "discover/go_functions.h"
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
    Symbol{"SSL_free", TlsFunction::free},          Symbol{"SSL_write_ex2", TlsFunction::write_ex2},
    Symbol{"SSL_sendfile", TlsFunction::sendfile}};
constexpr std::array gnutls{
    Symbol{"gnutls_handshake", TlsFunction::inner}, Symbol{"gnutls_record_recv", TlsFunction::read},
    Symbol{"gnutls_record_send", TlsFunction::write}, Symbol{"gnutls_deinit", TlsFunction::free}};

/// One for each library; BoringSSL has OpenSSL's names.
constexpr std::array<Family, 2> families{openssl, gnutls};

/// Go's crypto/tls. Until Go 1.17, what shook hands had the other name.
constexpr std::array go{Symbol{"crypto/tls.(*Conn).handshakeContext", TlsFunction::inner},
                        Symbol{"crypto/tls.(*Conn).Handshake", TlsFunction::inner},
                        Symbol{"crypto/tls.(*Conn).Read", TlsFunction::read},
                        Symbol{"crypto/tls.(*Conn).Write", TlsFunction::write}};

/// A label of the protocol (RFC 7627): no implementation can do without.
constexpr std::string_view label = "extended master secret";
constexpr std::uint64_t constants_read = 16u << 20;
constexpr std::size_t block = 256u << 10;

std::vector<std::string_view> names_of(std::span<const Family> families_asked) {
  std::vector<std::string_view> names;
  for (const Family family : families_asked)
    for (const Symbol& symbol : family) names.push_back(symbol.name);
  return names;
}

/// Nothing if it is not all there is to see: more than can be decoded.
std::vector<std::byte> code_of(const ElfFunction& function, const ElfFile& file) {
  auto code = file.table_at<std::byte>(function.offset, function.size, longest_function);
  if (code.size() != function.size) code.clear();
  return code;
}

struct FoundFunction {
  const Symbol& symbol;
  const ElfFunction& function;
  Placement placement{};
  bool covered = false;  ///< by a probe on another function
};

TlsProbe probe_of(const FoundFunction& found) {
  const std::uint64_t begin = found.function.offset;
  TlsProbe probe{.function = found.symbol.function, .symbol = std::string(found.symbol.name), .begin = begin};
  probe.entry = {begin + found.placement.entry.offset, found.placement.entry.stack};
  probe.return_address = begin + found.placement.return_address;
  for (const CodePlace& exit : found.placement.exits) probe.exits.push_back({begin + exit.offset, exit.stack});
  return probe;
}

/// SSL_read and SSL_read_ex of OpenSSL 1.1.1 and later hand on to one inner function, which is called as the second is:
/// one probe on that instead of one on each, if a probe there costs little. Nothing if it cannot be proven.
std::optional<TlsProbe> probe_on_inner(const FoundFunction& plain, const FoundFunction& ex, const ElfFile& file) {
  if (!ex.placement.hands_on_to) return std::nullopt;
  const std::uint64_t inner = ex.function.offset + static_cast<std::uint64_t>(*ex.placement.hands_on_to);
  const auto& callees = plain.placement.callees;
  const bool calls_it = std::any_of(callees.begin(), callees.end(), [&](std::int64_t callee) {
    return plain.function.offset + static_cast<std::uint64_t>(callee) == inner;
  });
  constexpr std::size_t beginning = 16;
  const auto place = place_on_beginning(file.table_at<std::byte>(inner, beginning, beginning));
  if (!calls_it || !place) return std::nullopt;
  return TlsProbe{.function = ex.symbol.function,
                  .symbol = fmt::format("{}, {}", plain.symbol.name, ex.symbol.name),
                  .begin = inner,
                  .entry = {inner + *place, 0},
                  .return_address = inner + *place};
}

/// Both a function that reads plaintext and one that writes it.
bool moves_plaintext(const ElfFunctions& functions, Family family) {
  const auto defines = [&](TlsFunction kind) {
    return std::any_of(family.begin(), family.end(), [&](const Symbol& symbol) {
      return symbol.function == kind && functions.contains(symbol.name);
    });
  };
  return defines(TlsFunction::read) && defines(TlsFunction::write);
}

void add_probes(const ElfFunctions& functions, Family family, const ElfFile& file, std::vector<TlsProbe>& probes) {
  std::vector<FoundFunction> found;
  for (const Symbol& symbol : family)
    if (const auto one = functions.find(symbol.name); one != functions.end())
      found.push_back({symbol, one->second, place_probes(code_of(one->second, file))});
  const auto of = [&](TlsFunction kind) {
    return std::find_if(found.begin(), found.end(), [&](const auto& one) { return one.symbol.function == kind; });
  };
  for (const auto& [kind, ex_kind] :
       {std::pair(TlsFunction::read, TlsFunction::read_ex), std::pair(TlsFunction::write, TlsFunction::write_ex)}) {
    const auto plain = of(kind), ex = of(ex_kind);
    if (plain == found.end() || ex == found.end()) continue;
    auto shared = probe_on_inner(*plain, *ex, file);
    if (!shared) continue;
    plain->covered = ex->covered = true;
    probes.push_back(std::move(*shared));
  }
  for (const FoundFunction& one : found)
    if (!one.covered) probes.push_back(probe_of(one));
}

TlsContent content_of(const ElfFunctions& functions, const ElfFile& file, const char* table) {
  TlsContent content;
  for (const Family family : families) {
    if (!moves_plaintext(functions, family)) continue;
    content.evidence = table;
    add_probes(functions, family, file, content.probes);
  }
  return content;
}

TlsContent go_tls(const ElfFile& file) {
  constexpr const char* table = ".gopclntab";
  const auto functions = go_functions(file, names_of(std::array{Family(go)}));
  if (!functions) return {};
  if (!*functions) return {{}, table, functions->error().text()};
  if (!moves_plaintext(**functions, go)) return {};
  TlsContent content{{}, table, {}};
  for (const Symbol& symbol : go) {
    const auto found = (*functions)->find(symbol.name);
    if (found == (*functions)->end()) continue;
    const std::uint64_t begin = found->second.offset;
    const auto placement = place_go_probes(code_of(found->second, file));
    if (!placement) return {{}, table, fmt::format("the code of {} is not as Go's compiler makes it", symbol.name)};
    TlsProbe probe{.function = symbol.function, .symbol = std::string(symbol.name), .begin = begin};
    probe.calling = placement->stack_arguments ? Calling::go_stack : Calling::go_registers;
    probe.entry = {begin + placement->entry.offset, placement->entry.stack};
    for (const CodePlace& exit : placement->exits) probe.exits.push_back({begin + exit.offset, exit.stack});
    content.probes.push_back(std::move(probe));
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
  return content_of(exported_functions(file, names_of(families)), file, ".dynsym");
}

TlsContent static_tls(const ElfFile& file, bool executable) {
  const auto functions = static_functions(file, names_of(families));
  if (!functions) return {{}, ".symtab", functions.error().text()};
  TlsContent content = content_of(*functions, file, ".symtab");
  if (!executable) return content;
  if (TlsContent in_go = go_tls(file); !in_go.evidence.empty()) {
    if (content.evidence.empty()) return in_go;
    if (!in_go.probes.empty()) content.evidence += ", " + in_go.evidence;  // with C code in it
    std::move(in_go.probes.begin(), in_go.probes.end(), std::back_inserter(content.probes));
  }
  if (content.evidence.empty() && has_label(file))
    content = {{}, ".rodata", "its functions have no names that are known: stripped, or another library"};
  return content;
}

}  // namespace inferscope::discover
