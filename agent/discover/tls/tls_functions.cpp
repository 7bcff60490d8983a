// SPDX-License-Identifier: Apache-2.0
#include "discover/tls/tls_functions.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <optional>
#include <span>
#include <string_view>
#include <utility>

#include "discover/code/function_places.h"
#include "discover/code/probe_placement.h"
#include "discover/elf/elf_symbols.h"
#include "discover/elf/go_functions.h"

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

std::vector<std::string_view> names_of(std::span<const Family> families_asked) {
  std::vector<std::string_view> names;
  for (const Family family : families_asked)
    for (const Symbol& symbol : family) names.push_back(symbol.name);
  return names;
}

struct PlacedFunction {
  const NamedFunction& named;
  Placement placement{};
  bool covered = false;  ///< by a probe on another function
};

TlsProbe probe_of(const PlacedFunction& placed) {
  return {.function = placed.named.function,
          .symbol = placed.named.symbol,
          .places = places_of(placed.named.code.offset, placed.placement)};
}

/// SSL_read and SSL_read_ex of OpenSSL 1.1.1 and later hand on to one inner function, which is called as the second is:
/// one probe on that instead of one on each, if a probe there costs little. Nothing if it cannot be proven.
std::optional<TlsProbe> probe_on_inner(const PlacedFunction& plain, const PlacedFunction& ex, const ElfFile& file) {
  if (!ex.placement.hands_on_to) return std::nullopt;
  const std::uint64_t inner = ex.named.code.offset + static_cast<std::uint64_t>(*ex.placement.hands_on_to);
  const auto& callees = plain.placement.callees;
  const bool calls_it = std::any_of(callees.begin(), callees.end(), [&](std::int64_t callee) {
    return plain.named.code.offset + static_cast<std::uint64_t>(callee) == inner;
  });
  constexpr std::size_t beginning = 16;
  const auto place = place_on_beginning(file.table_at<std::byte>(inner, beginning, beginning));
  if (!calls_it || !place) return std::nullopt;
  return TlsProbe{.function = ex.named.function,
                  .symbol = plain.named.symbol + ", " + ex.named.symbol,
                  .places = {.begin = inner, .entry = {inner + *place, 0}, .return_address = inner + *place}};
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

TlsContent content_of(const ElfFunctions& functions, const ElfFile& file, const char* table) {
  TlsContent content;
  for (const Family family : families) {
    if (!moves_plaintext(functions, family)) continue;
    content.evidence = table;
    std::vector<NamedFunction> found;
    for (const Symbol& symbol : family)
      if (const auto one = functions.find(symbol.name); one != functions.end())
        found.push_back({symbol.function, one->first, one->second});
    for (TlsProbe& probe : tls_probes(found, file)) content.probes.push_back(std::move(probe));
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
    TlsProbe probe{.function = symbol.function, .symbol = std::string(symbol.name), .places = {.begin = begin}};
    probe.calling = placement->stack_arguments ? Calling::go_stack : Calling::go_registers;
    probe.places.entry = {begin + placement->entry.offset, placement->entry.stack};
    for (const CodePlace& exit : placement->exits) probe.places.exits.push_back({begin + exit.offset, exit.stack});
    content.probes.push_back(std::move(probe));
  }
  return content;
}

}  // namespace

namespace {

/// A program may have both C code and Go's with TLS.
void add_go(TlsContent& content, const ElfFile& file) {
  TlsContent in_go = go_tls(file);
  if (in_go.evidence.empty()) return;
  if (content.probes.empty()) {
    content = std::move(in_go);
    return;
  }
  content.evidence += (in_go.problem.empty() ? ", " : ", unread: ") + in_go.evidence;
  std::move(in_go.probes.begin(), in_go.probes.end(), std::back_inserter(content.probes));
}

}  // namespace

std::vector<TlsProbe> tls_probes(const std::vector<NamedFunction>& functions, const ElfFile& file) {
  std::vector<TlsProbe> probes;
  std::vector<PlacedFunction> placed;
  for (const NamedFunction& one : functions) placed.push_back({one, place_probes(code_of(one.code, file))});
  const auto of = [&](TlsFunction kind) {
    return std::find_if(placed.begin(), placed.end(), [&](const auto& one) { return one.named.function == kind; });
  };
  for (const auto& [kind, ex_kind] :
       {std::pair(TlsFunction::read, TlsFunction::read_ex), std::pair(TlsFunction::write, TlsFunction::write_ex)}) {
    const auto plain = of(kind), ex = of(ex_kind);
    if (plain == placed.end() || ex == placed.end()) continue;
    auto shared = probe_on_inner(*plain, *ex, file);
    if (!shared) continue;
    plain->covered = ex->covered = true;
    probes.push_back(std::move(*shared));
  }
  for (const PlacedFunction& one : placed)
    if (!one.covered) probes.push_back(probe_of(one));
  return probes;
}

TlsContent exported_tls(const ElfFile& file) {
  TlsContent content = content_of(exported_functions(file, names_of(families)), file, ".dynsym");
  if (!content.evidence.empty()) add_go(content, file);
  return content;
}

TlsContent static_tls(const ElfFile& file) {
  const auto functions = static_functions(file, names_of(families));
  TlsContent content =
      functions ? content_of(*functions, file, ".symtab") : TlsContent{{}, ".symtab", functions.error().text()};
  add_go(content, file);
  return content;
}

}  // namespace inferscope::discover
