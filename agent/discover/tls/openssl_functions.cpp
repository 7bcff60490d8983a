// SPDX-License-Identifier: Apache-2.0
#include "discover/tls/openssl_functions.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <span>
#include <utility>

namespace inferscope::discover {
namespace {

using namespace std::string_view_literals;

constexpr std::uint64_t library_number = 20;  // of libssl among those that report errors in 1.1.1
// By ERR_put_error(library, function, reason, file, line).
constexpr std::uint8_t library_argument = 0, function_argument = 1, file_argument = 3;

constexpr std::size_t candidates_limit = 8;  // more of a kind are not what they seem

constexpr Tracked argument(int number) {
  return {Tracked::Is::argument, number};
}
constexpr Tracked zero{Tracked::Is::zero, 0};

constexpr std::array four{argument(0), argument(1), argument(2), argument(3)};
constexpr std::array five{argument(0), argument(1), argument(2), argument(3), argument(4)};
/// No flags between the size and where to tell what was written, as in 3.3 and later.
constexpr std::array four_and_no_flags{argument(0), argument(1), argument(2), zero, argument(3)};
constexpr std::array four_without_flags{argument(0), argument(1), argument(2), argument(4)};

bool is_passed(const Passed& passed, std::span<const Tracked> arguments) {
  return std::equal(arguments.begin(), arguments.end(), passed.begin());
}

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

/// The one that has the address in it, if there is one.
const OpenSslPiece* piece_at(const OpenSslPieces& pieces, std::uint64_t address) {
  const auto next = pieces.upper_bound(address);
  if (next == pieces.begin() || !std::prev(next)->second.piece.range.contains(address)) return nullptr;
  return &std::prev(next)->second;
}

bool is_function(const OpenSslPiece& piece) {
  return !piece.piece.in_frame && !piece.joined;
}

class Proof {
 public:
  explicit Proof(const OpenSslPieces& pieces) : pieces_(pieces) {
    for (const auto& [begin, one] : pieces_) {
      const bool makes =
          one.parts.contains(OpenSslPart::session_new) || one.parts.contains(OpenSslPart::connection_new);
      for (const CodeFacts::Transfer& transfer : one.facts.transfers) {
        if (makes) called_by_makers_.insert(transfer.to);
        const OpenSslPiece* into = piece_at(pieces_, transfer.to);
        if (into != nullptr && into != &one && transfer.to != into->piece.range.begin) entered_elsewhere_.insert(into);
      }
    }
  }

  [[nodiscard]] bool is_told(OpenSslPart part) const {
    return std::any_of(pieces_.begin(), pieces_.end(),
                       [&](const auto& one) { return one.second.parts.contains(part); });
  }
  [[nodiscard]] const OpenSslPiece* named(OpenSslPart part) const {
    Only only;
    for (const auto& [begin, one] : pieces_)
      if (is_function(one) && one.parts.contains(part)) only.add(one);
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
  /// What hands on the session, the buffer, its size and where to tell how much was moved, as it was given them, to a
  /// function of the session's. Both SSL_read_ex and ssl_read_internal do if the compiler made a part of the one of
  /// what the other does.
  [[nodiscard]] std::vector<const OpenSslPiece*> moving(OpenSslPart part, OpenSslPart internal,
                                                        std::span<const Tracked> arguments) const {
    std::vector<const OpenSslPiece*> all;
    for (const auto& [begin, one] : pieces_) {
      if (!is_function(one) || entered_elsewhere_.contains(&one) || !one.parts.contains(internal) ||
          one.parts.contains(part))
        continue;
      const auto& handed_on = one.facts.handed_on;
      if (std::any_of(handed_on.begin(), handed_on.end(),
                      [&](const Passed& passed) { return is_passed(passed, arguments); }))
        all.push_back(&one);
    }
    if (all.size() > candidates_limit) all.clear();
    return all;
  }
  /// What first of all calls it with the arguments that it was given itself, and tells no name.
  [[nodiscard]] const OpenSslPiece* passing_on(const OpenSslPiece& to, std::span<const Tracked> arguments,
                                               bool may_jump = false) const {
    Only only;
    for (const auto& [begin, one] : pieces_) {
      if (!is_function(one) || entered_elsewhere_.contains(&one) || !one.parts.empty()) continue;
      for (const CodeFacts::Transfer& transfer : one.facts.transfers)
        if (transfer.first && (transfer.call || may_jump) && transfer.to == to.piece.range.begin &&
            is_passed(transfer.passed, arguments))
          only.add(one);
    }
    return only.get();
  }
  [[nodiscard]] std::vector<const OpenSslPiece*> read_ex() const {
    return ex(OpenSslPart::read, OpenSslPart::read_internal);
  }
  [[nodiscard]] std::vector<const OpenSslPiece*> write_ex() const {
    auto all = ex(OpenSslPart::write, OpenSslPart::write_internal);
    if (!all.empty()) return all;
    const OpenSslPiece* inner = writing_with_flags();
    if (inner == nullptr) return all;
    const OpenSslPiece* ex = passing_on(*inner, four_and_no_flags);
    if (const OpenSslPiece* ex2 = write_ex2(); ex == nullptr && ex2 != nullptr)
      ex = passing_on(*ex2, four_and_no_flags, true);
    if (ex != nullptr) all.push_back(ex);
    return all;
  }
  /// SSL_write_ex2, which hands on its flags, too.
  [[nodiscard]] const OpenSslPiece* write_ex2() const {
    const OpenSslPiece* inner = writing_with_flags();
    return inner == nullptr ? nullptr : passing_on(*inner, five);
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
  /// down before. What makes sessions calls it when that fails, or calls the rest of it behind the counting. Of a
  /// context's it is told apart by giving back the session's context, too.
  [[nodiscard]] const OpenSslPiece* session_free() const {
    std::vector<const OpenSslPiece*> all;
    for (const auto& [begin, one] : pieces_)
      if (is_function(one) && one.parts.empty() && one.facts.counts_in_first && !rests(one).empty())
        all.push_back(&one);
    Only only;
    if (all.size() > candidates_limit) return nullptr;
    for (const OpenSslPiece* one : all) {
      const bool has_other = std::any_of(all.begin(), all.end(), [&](const OpenSslPiece* other) {
        const auto theirs = rests(*other);
        return other != one &&
               std::any_of(theirs.begin(), theirs.end(), [&](const OpenSslPiece* rest) { return calls(*one, *rest); });
      });
      if (has_other || all.size() == 1) only.add(*one);
    }
    return only.get();
  }
  /// What of it gives memory back: itself, or what it goes on with, about the same session.
  [[nodiscard]] std::vector<const OpenSslPiece*> rests(const OpenSslPiece& one) const {
    if (gives_back(one.piece.range.begin)) return {&one};
    std::vector<const OpenSslPiece*> rests;
    for (const CodeFacts::Transfer& transfer : one.facts.transfers)
      if (transfer.passed[0] == argument(0) && gives_back(transfer.to)) rests.push_back(&pieces_.at(transfer.to));
    return rests;
  }
  /// What makes sessions calls it, it is of the same source file and reports no error that is known.
  [[nodiscard]] bool gives_back(std::uint64_t address) const {
    const auto piece = pieces_.find(address);
    return piece != pieces_.end() && piece->second.in_source && piece->second.parts.empty() &&
           called_by_makers_.contains(address);
  }

 private:
  /// What calls the only one, or those that no other of them and not the function for int calls.
  [[nodiscard]] std::vector<const OpenSslPiece*> ex(OpenSslPart part, OpenSslPart internal) const {
    auto all = moving(part, internal, four);
    if (all.size() == 1)
      if (const OpenSslPiece* caller = passing_on(*all.front(), four)) return {caller};
    std::vector<const OpenSslPiece*> callers = all;
    if (const OpenSslPiece* plain = named(part)) callers.push_back(plain);
    std::erase_if(all, [&](const OpenSslPiece* one) {
      return std::any_of(callers.begin(), callers.end(),
                         [&](const OpenSslPiece* caller) { return caller != one && calls(*caller, *one); });
    });
    return all;
  }
  [[nodiscard]] const OpenSslPiece* writing_with_flags() const {
    const auto all = moving(OpenSslPart::write, OpenSslPart::write_internal, four_without_flags);
    return all.size() == 1 ? all.front() : nullptr;
  }

  const OpenSslPieces& pieces_;
  std::set<std::uint64_t> called_by_makers_{};  ///< by what makes sessions
  /// A part of them that lies elsewhere comes back: what it does there, their own code does not tell.
  std::set<const OpenSslPiece*> entered_elsewhere_{};
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
  OpenSslPiece found{.piece = piece, .facts = std::move(facts)};
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

std::vector<AddressRange> openssl_callees(const OpenSslPieces& pieces) {
  const Proof proof(pieces);
  const OpenSslPiece* with_flags = proof.write_ex2();
  std::vector<AddressRange> callees;
  for (const auto& [begin, one] : pieces) {
    if (one.in_source && one.piece.in_frame)
      callees.push_back(one.piece.range);
    else if (!one.parts.empty() || proof.gives_back(begin) || &one == with_flags)
      callees.push_back({begin, begin + 1});
  }
  return callees;
}

/// A piece that begins in the frame of another one, which alone jumps to it, is a part of that one. So is, perhaps,
/// what nobody calls, and only one other one jumps to now and then: that may be a function, too, so only its names are
/// taken over, and whom it calls is not.
void join_pieces(OpenSslPieces& pieces) {
  struct Comers {
    const OpenSslPiece* only = nullptr;
    bool several = false, called = false, sometimes = true;
  };
  std::map<const OpenSslPiece*, Comers> comers;
  for (const auto& [begin, one] : pieces) {
    for (const CodeFacts::Transfer& transfer : one.facts.transfers) {
      const OpenSslPiece* into = piece_at(pieces, transfer.to);
      if (into == nullptr || into == &one) continue;
      Comers& all = comers[into];
      all.several = all.several || (all.only != nullptr && all.only != &one);
      all.only = &one;
      all.called = all.called || transfer.call;
      all.sometimes = all.sometimes && transfer.conditional;
    }
  }
  for (auto& [begin, part] : pieces) {
    if (part.joined || (!part.piece.in_frame && part.parts.empty())) continue;
    const Comers all = comers[&part];
    if (all.only == nullptr || all.several || all.called || all.only->piece.in_frame) continue;
    OpenSslPiece& owner = pieces.at(all.only->piece.range.begin);
    if (part.piece.in_frame) {
      for (CodeFacts::Transfer transfer : part.facts.transfers) {
        transfer.first = false;
        transfer.passed = {};  // it does not begin with the function's arguments in place
        owner.facts.transfers.push_back(transfer);
      }
    } else if (!all.sometimes || part.parts.contains(OpenSslPart::handshake)) {
      continue;
    }
    owner.parts.insert(part.parts.begin(), part.parts.end());
    owner.in_source = owner.in_source || part.in_source;
    part.joined = true;
  }
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
  bool read_ex = false, write_ex = false;
  for (const OpenSslPiece* one : proof.read_ex()) read_ex = add("SSL_read_ex", TlsFunction::read_ex, one);
  for (const OpenSslPiece* one : proof.write_ex()) write_ex = add("SSL_write_ex", TlsFunction::write_ex, one);
  add("SSL_write_ex2", TlsFunction::write_ex2, proof.write_ex2());
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
