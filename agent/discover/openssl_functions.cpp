// SPDX-License-Identifier: Apache-2.0
#include "discover/openssl_functions.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <span>
#include <utility>

namespace inferscope::discover {
namespace {

using namespace std::string_view_literals;

constexpr std::uint64_t library_number = 20;  // of libssl among those that report errors in 1.1.1
// By ERR_put_error(library, function, reason, file, line).
constexpr std::uint8_t library_argument = 0, function_argument = 1, file_argument = 3;

using Passed = std::span<const Tracked>;

constexpr Tracked argument(std::uint8_t number) {
  return {Tracked::Is::argument, number};
}
constexpr Tracked zero{Tracked::Is::zero, 0};
constexpr Tracked unknown{};

constexpr std::array four_arguments{argument(0), argument(1), argument(2), argument(3)};
constexpr std::array five_arguments{argument(0), argument(1), argument(2), argument(3), argument(4)};
/// No flags between the size and where to tell what was written.
constexpr std::array four_and_no_flags{argument(0), argument(1), argument(2), zero, argument(3)};

/// One, or nothing if there are none or several.
class Only {
 public:
  void add(const OpenSslPiece& piece) {
    several_ = several_ || (piece_ != nullptr && piece_ != &piece);
    piece_ = &piece;
  }
  [[nodiscard]] const OpenSslPiece* get() const { return several_ ? nullptr : piece_; }

 private:
  const OpenSslPiece* piece_ = nullptr;
  bool several_ = false;
};

bool calls(const OpenSslPiece& piece, const OpenSslPiece& other) {
  return std::any_of(piece.facts.transfers.begin(), piece.facts.transfers.end(),
                     [&](const CodeFacts::Transfer& one) { return one.to == other.piece.range.begin; });
}

class Proof {
 public:
  explicit Proof(const OpenSslPieces& pieces) : pieces_(pieces) {}

  [[nodiscard]] bool is_told(OpenSslPart part) const {
    return std::any_of(pieces_.begin(), pieces_.end(),
                       [&](const auto& one) { return one.second.parts.contains(part); });
  }
  [[nodiscard]] const OpenSslPiece* named(OpenSslPart part) const {
    Only only;
    for (const auto& [begin, one] : pieces_)
      if (!one.piece.in_frame && one.parts.contains(part)) only.add(one);
    return only.get();
  }
  /// SSL_read and its kind take the size as int, and hand all to a function for size_t, unless that became a part of
  /// them.
  [[nodiscard]] const OpenSslPiece* outer(OpenSslPart part, OpenSslPart internal) const {
    const OpenSslPiece* one = named(part);
    if (one == nullptr || !one->facts.third_is_int) return nullptr;
    const bool has_inner =
        one->parts.contains(internal) || std::any_of(pieces_.begin(), pieces_.end(), [&](const auto& other) {
          return other.second.parts.contains(internal) && calls(*one, other.second);
        });
    return has_inner ? one : nullptr;
  }
  /// What they hand it to; nothing if it became a part of others than them, too: which one it is, is not known then.
  [[nodiscard]] const OpenSslPiece* inner(OpenSslPart part, OpenSslPart internal) const {
    Only only;
    for (const auto& [begin, one] : pieces_)
      if (!one.piece.in_frame && one.parts.contains(internal) && !one.parts.contains(part)) only.add(one);
    return only.get();
  }
  /// What first of all hands its own arguments on, and tells no name.
  [[nodiscard]] const OpenSslPiece* passing_on(std::uint64_t to, Passed passed) const {
    Only only;
    for (const auto& [begin, one] : pieces_) {
      if (one.piece.in_frame || !one.parts.empty()) continue;
      for (const CodeFacts::Transfer& transfer : one.facts.transfers)
        if (transfer.first && transfer.to == to && std::equal(passed.begin(), passed.end(), transfer.passed.begin()))
          only.add(one);
    }
    return only.get();
  }
  [[nodiscard]] const OpenSslPiece* read_ex() const {
    const OpenSslPiece* handed_to = inner(OpenSslPart::read, OpenSslPart::read_internal);
    return handed_to == nullptr ? nullptr : passing_on(handed_to->piece.range.begin, four_arguments);
  }
  /// Whether ssl_write_internal takes flags as its fourth argument, as in 3.3 and later: SSL_write tells.
  [[nodiscard]] std::optional<bool> writes_with_flags() const {
    const OpenSslPiece* write = named(OpenSslPart::write);
    const OpenSslPiece* handed_to = inner(OpenSslPart::write, OpenSslPart::write_internal);
    if (write == nullptr || handed_to == nullptr) return std::nullopt;
    for (const CodeFacts::Transfer& one : write->facts.transfers) {
      if (one.to != handed_to->piece.range.begin) continue;
      const Tracked fourth = one.passed[3], fifth = one.passed[4];
      if (fourth == unknown && fifth == argument(4)) return false;
      if (fourth == zero && fifth == unknown) return true;
    }
    return std::nullopt;
  }
  [[nodiscard]] const OpenSslPiece* write_ex2() const {
    const OpenSslPiece* handed_to = inner(OpenSslPart::write, OpenSslPart::write_internal);
    return handed_to != nullptr && writes_with_flags() == true
               ? passing_on(handed_to->piece.range.begin, five_arguments)
               : nullptr;
  }
  [[nodiscard]] const OpenSslPiece* write_ex() const {
    const OpenSslPiece* handed_to = inner(OpenSslPart::write, OpenSslPart::write_internal);
    const auto with_flags = writes_with_flags();
    if (handed_to == nullptr || !with_flags) return nullptr;
    if (!*with_flags) return passing_on(handed_to->piece.range.begin, four_arguments);
    const OpenSslPiece* direct = passing_on(handed_to->piece.range.begin, four_and_no_flags);
    const OpenSslPiece* with = write_ex2();
    return direct != nullptr || with == nullptr ? direct : passing_on(with->piece.range.begin, four_and_no_flags);
  }
  /// Only a function is called, and jumped to from several others.
  [[nodiscard]] const OpenSslPiece* handshake() const {
    const OpenSslPiece* one = named(OpenSslPart::handshake);
    if (one == nullptr) return nullptr;
    std::set<std::uint64_t> jump;
    for (const auto& [begin, other] : pieces_)
      for (const CodeFacts::Transfer& transfer : other.facts.transfers) {
        if (transfer.to != one->piece.range.begin) continue;
        if (transfer.call || (jump.insert(begin), jump.size() > 1)) return one;
      }
    return nullptr;
  }
  /// It reports no error, but tells its source file when it gives memory back, and counts references to the session
  /// down before. What makes sessions calls it when that fails, or calls the rest of it behind the counting.
  [[nodiscard]] const OpenSslPiece* session_free() const {
    Only only;
    for (const auto& [begin, one] : pieces_) {
      if (one.piece.in_frame || !one.parts.empty() || !one.facts.counts_in_first) continue;
      const auto goes_on = [&](const CodeFacts::Transfer& transfer) { return gives_back(transfer.to); };
      if (gives_back(begin) || std::any_of(one.facts.transfers.begin(), one.facts.transfers.end(), goes_on))
        only.add(one);
    }
    return only.get();
  }
  /// What makes sessions calls it, it is of the same source file and reports no error that is known.
  [[nodiscard]] bool gives_back(std::uint64_t address) const {
    const auto piece = pieces_.find(address);
    if (piece == pieces_.end() || !piece->second.in_source || !piece->second.parts.empty()) return false;
    return std::any_of(pieces_.begin(), pieces_.end(), [&](const auto& one) {
      const auto& parts = one.second.parts;
      return (parts.contains(OpenSslPart::session_new) || parts.contains(OpenSslPart::connection_new)) &&
             calls(one.second, piece->second);
    });
  }

 private:
  const OpenSslPieces& pieces_;
};

}  // namespace

const std::vector<OpenSslName>& openssl_names() {
  static const std::vector<OpenSslName> names{
      {OpenSslPart::read, "SSL_read\0"sv, 223},
      {OpenSslPart::read_internal, "ssl_read_internal\0"sv, 523},
      {OpenSslPart::write, "SSL_write\0"sv, 208},
      {OpenSslPart::write_internal, "ssl_write_internal\0"sv, 524},
      {OpenSslPart::peek, "SSL_peek\0"sv, 270},
      {OpenSslPart::peek_internal, "ssl_peek_internal\0"sv, 522},
      {OpenSslPart::handshake, "SSL_do_handshake\0"sv, 180},
      {OpenSslPart::session_new, "SSL_new\0"sv, 186},
      {OpenSslPart::connection_new, "ossl_ssl_connection_new_int\0"sv, {}},
  };
  return names;
}

OpenSslPiece openssl_piece(const CodePiece& piece, CodeFacts facts, const OpenSslTexts& texts) {
  OpenSslPiece found{piece, std::move(facts), false, {}};
  bool of_library = false, by_number = false;
  std::set<OpenSslPart> texts_told, numbers_told;
  for (const CodeFacts::Constant& one : found.facts.constants) {
    const bool is_file = std::any_of(texts.file_names.begin(), texts.file_names.end(),
                                     [&](const AddressRange& range) { return range.contains(one.value); });
    found.in_source = found.in_source || is_file;
    by_number = by_number || (is_file && one.argument == file_argument);
    of_library = of_library || (one.argument == library_argument && one.value == library_number);
    if (const auto name = texts.names.find(one.value); name != texts.names.end()) texts_told.insert(name->second);
    if (one.argument != function_argument) continue;
    for (const OpenSslName& name : openssl_names())
      if (name.number == one.value) numbers_told.insert(name.part);
  }
  if (found.in_source) found.parts = std::move(texts_told);
  if (by_number && of_library) found.parts.merge(numbers_told);
  return found;
}

void join_pieces(OpenSslPieces& pieces) {
  for (auto& [begin, part] : pieces) {
    if (!part.piece.in_frame) continue;
    OpenSslPiece* owner = nullptr;
    bool several = false;
    for (auto& [other_begin, other] : pieces) {
      if (&other == &part || other.piece.in_frame) continue;
      const bool jumps =
          std::any_of(other.facts.transfers.begin(), other.facts.transfers.end(),
                      [&](const CodeFacts::Transfer& one) { return !one.call && part.piece.range.contains(one.to); });
      if (jumps) several = std::exchange(owner, &other) != nullptr || several;
    }
    if (owner == nullptr || several) continue;
    owner->in_source = owner->in_source || part.in_source;
    owner->parts.insert(part.parts.begin(), part.parts.end());
    for (CodeFacts::Transfer transfer : part.facts.transfers) {
      transfer.first = false;
      owner->facts.transfers.push_back(transfer);
    }
  }
}

std::vector<AddressRange> openssl_callees(const OpenSslPieces& pieces) {
  const Proof proof(pieces);
  std::vector<AddressRange> callees;
  for (const auto& [begin, one] : pieces)
    if (!one.parts.empty() || (one.in_source && one.piece.in_frame) || proof.gives_back(begin))
      callees.push_back(one.piece.range);
  return callees;
}

std::optional<std::uint64_t> openssl_flags_writer(const OpenSslPieces& pieces) {
  const OpenSslPiece* writer = Proof(pieces).write_ex2();
  if (writer == nullptr) return std::nullopt;
  return writer->piece.range.begin;
}

OpenSslFunctions prove_openssl(const OpenSslPieces& pieces) {
  const Proof proof(pieces);
  OpenSslFunctions result;
  const auto add = [&](const char* symbol, TlsFunction function, const OpenSslPiece* piece) {
    if (piece != nullptr) result.functions.push_back({symbol, function, piece->piece.range});
    return piece != nullptr;
  };
  add("SSL_do_handshake", TlsFunction::inner, proof.handshake());
  add("SSL_peek", TlsFunction::inner, proof.outer(OpenSslPart::peek, OpenSslPart::peek_internal));
  const bool read = add("SSL_read", TlsFunction::read, proof.outer(OpenSslPart::read, OpenSslPart::read_internal));
  const bool write = add("SSL_write", TlsFunction::write, proof.outer(OpenSslPart::write, OpenSslPart::write_internal));
  const bool read_ex = add("SSL_read_ex", TlsFunction::read_ex, proof.read_ex());
  const bool write_ex = add("SSL_write_ex", TlsFunction::write_ex, proof.write_ex());
  const bool free = add("SSL_free", TlsFunction::free, proof.session_free());

  // A linker may have left out what nobody calls; what is there has to be proven. Of a session whose end is not seen,
  // what is known would be taken for the next one's at its address.
  std::vector<std::string_view> missing;
  if (!read && (proof.is_told(OpenSslPart::read) || !read_ex)) missing.emplace_back("SSL_read");
  if (!write && (proof.is_told(OpenSslPart::write) || !write_ex)) missing.emplace_back("SSL_write");
  if (!free) missing.emplace_back("SSL_free");
  if (missing.empty()) return result;
  return {{}, fmt::format("{} cannot be told from other functions", fmt::join(missing, ", "))};
}

}  // namespace inferscope::discover
