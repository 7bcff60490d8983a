// SPDX-License-Identifier: Apache-2.0
#include "discover/tls/stripped_tls.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <span>
#include <utility>

#include "discover/code/probe_placement.h"

namespace inferscope::discover {
namespace {

using namespace std::string_view_literals;

/// A label of the protocol (RFC 7627): no implementation can do without.
constexpr std::string_view label = "extended master secret";
/// The source file of OpenSSL's functions, as the compiler was told its name: it may have folders before.
constexpr std::string_view source_file = "ssl/ssl_lib.c\0"sv;

/// Texts that only one of them contains.
struct Implementation {
  std::string_view text{};
  std::string_view name{};
};
constexpr std::array implementations{
    Implementation{"ssl/ssl_lib.cc\0"sv, "BoringSSL or AWS-LC"},
    Implementation{"/rustls-0.", "rustls"},
    Implementation{"rustls::", "rustls"},
    Implementation{"tls: protocol is shutdown", "Go's crypto/tls"},
    Implementation{"GNUTLS_E_AGAIN\0"sv, "GnuTLS"},
    Implementation{"ssl_tls.c\0"sv, "mbedTLS"},
    Implementation{"wolfSSL_", "wolfSSL"},
    Implementation{"NSS_SSL_CBC_RANDOM_IV\0"sv, "NSS"},
};

// What is searched for, in this order.
constexpr std::size_t label_text = 0, source_text = 1, first_name = 2;

constexpr std::uint64_t read_limit = 2u << 30;  // bytes, however often they are read
constexpr std::size_t places_limit = 256;
constexpr std::size_t rounds_limit = 8;  // for what calls what was found
constexpr std::size_t folders_read = 1024;
constexpr std::uint64_t decode_limit = 8u << 20;
// Of a byte, as times that of reading it.
constexpr std::uint64_t cost_of_texts = 2, cost_of_code = 4, cost_of_decoding = 512;
constexpr std::uint64_t cost_of_lookup = 1024;  // bytes

constexpr const char* too_much = "more of it than there can be looks like OpenSSL's functions";

std::vector<std::string_view> texts() {
  std::vector<std::string_view> all{label, source_file};
  for (const OpenSslName& name : openssl_names()) all.push_back(name.text);
  for (const Implementation& one : implementations) all.push_back(one.text);
  return all;
}

}  // namespace

StrippedTls::StrippedTls(const ElfFile& file)
    : file_(file), search_(texts()), constants_(file, file.section(".rodata"), search_.longest() - 1) {}

bool StrippedTls::step(std::uint64_t bytes) {
  const std::uint64_t end_cost = cost_ + bytes;
  while (cost_ < end_cost && stage_ != Stage::done) {
    if (stage_ == Stage::texts)
      cost_ += search_texts();
    else if (read_ > read_limit)
      end("it is too large to be searched for functions without names");
    else if (references_)
      cost_ += search_code();
    else if (!to_decode_.empty())
      cost_ += decode_one();
    else
      end_stage();
  }
  return stage_ == Stage::done;
}

std::uint64_t StrippedTls::search_texts() {
  const auto block = constants_.next();
  if (block && read_ > read_limit) {
    end("it has more constants than are searched for TLS without names");
    return 0;
  }
  if (!block) {
    end_texts();
    return 0;
  }
  std::vector<ByteSearch::Place> found;
  search_.find(block->bytes, block->offset, found);
  const std::size_t first_implementation = first_name + openssl_names().size();
  for (const ByteSearch::Place& place : found) {
    if (place.text == label_text)
      has_label_ = true;
    else if (place.text >= first_implementation)
      implementation_ = std::min(implementation_.value_or(place.text), place.text - first_implementation);
    else
      places_.push_back(place);
  }
  if (places_.size() > places_limit) end(too_much);
  read_ += block->bytes.size();
  return block->bytes.size() * cost_of_texts;
}

void StrippedTls::end_texts() {
  if (!has_label_) {
    stage_ = Stage::done;
    return;
  }
  std::vector<AddressRange> targets;
  for (const ByteSearch::Place& place : places_) {
    const auto address = file_.address_of(place.offset);
    if (!address) continue;
    if (place.text == source_text) {
      // Its name begins where what can be read of it does, or behind that: then something else lies before it.
      const std::uint64_t before = std::min<std::uint64_t>({folders_read, place.offset, *address});
      const auto folders = file_.table_at<char>(place.offset - before, before, folders_read);
      const auto end = std::find_if(folders.rbegin(), folders.rend(), [](char c) { return c < ' ' || c > '~'; });
      const auto length = static_cast<std::uint64_t>(end - folders.rbegin());
      texts_.file_names.push_back({*address - length, *address + 1});
    } else {
      texts_.names.emplace(*address, openssl_names()[place.text - first_name].part);
      targets.push_back({*address, *address + 1});
    }
  }
  if (!texts_.file_names.empty()) {
    targets.insert(targets.end(), texts_.file_names.begin(), texts_.file_names.end());
    stage_ = Stage::references;
    references_.emplace(file_, std::move(targets));
  } else if (implementation_) {
    end(fmt::format("it is {}, whose functions are not known without their names",
                    implementations[*implementation_].name));
  } else {
    end("its functions have no names that are known: stripped, or another library");
  }
}

std::uint64_t StrippedTls::search_code() {
  const std::size_t searched = references_->step();
  read_ += searched;
  return searched > 0 ? searched * cost_of_code : end_search();
}

/// The pieces that hold what was found are decoded next, those that were not already.
std::uint64_t StrippedTls::end_search() {
  const CodeReferences references = std::move(*references_);
  references_.reset();
  if (references.too_many()) {
    end(too_much);
    return 0;
  }
  auto pieces = pieces_at(file_, references.found());
  if (!pieces) {
    end(fmt::format("it is OpenSSL, whose functions have no names, and {}", pieces.error().text()));
    return 0;
  }
  to_decode_ = std::move(*pieces);
  std::erase_if(to_decode_, [this](const CodePiece& one) { return pieces_.contains(one.range.begin); });
  return references.found().size() * cost_of_lookup + file_.section(".eh_frame").size;  // which may have been read
}

std::uint64_t StrippedTls::decode_one() {
  const CodePiece piece = to_decode_.back();
  to_decode_.pop_back();
  const std::uint64_t size = piece.range.end - piece.range.begin;
  const auto offset = file_.offset_of_code(piece.range.begin);
  if (!offset || size > longest_function) return cost_of_lookup;
  const auto code = file_.table_at<std::byte>(*offset, size, longest_function);
  decoded_ += code.size();
  if (decoded_ > decode_limit) {
    end(too_much);
    return 0;
  }
  if (code.size() == size)
    if (auto facts = read_code(code, piece.range.begin))
      pieces_.emplace(piece.range.begin, openssl_piece(piece, std::move(*facts), texts_));
  return cost_of_lookup + code.size() * cost_of_decoding;
}

/// Each time, more may be known whose callers are needed: parts of functions lie elsewhere, and functions call
/// functions.
void StrippedTls::end_stage() {
  if (stage_ == Stage::callers) join_pieces(pieces_);
  stage_ = Stage::callers;
  std::vector<AddressRange> more;
  for (const AddressRange& one : openssl_callees(pieces_))
    if (callees_.insert(one.begin).second) more.push_back(one);
  if (more.empty())
    tell_functions();
  else if (++rounds_ > rounds_limit)
    end(too_much);
  else
    references_.emplace(file_, std::move(more));
}

void StrippedTls::tell_functions() {
  const OpenSslFunctions openssl = prove_openssl(pieces_);
  if (!openssl.problem.empty()) {
    end(fmt::format("it is OpenSSL, whose functions have no names, and {}", openssl.problem));
    return;
  }
  content_.evidence = ".rodata, .eh_frame";
  std::vector<NamedFunction> functions;
  for (const OpenSslFunction& one : openssl.functions)
    if (const auto offset = file_.offset_of_code(one.range.begin))
      functions.push_back({one.function, std::string(one.symbol), {*offset, one.range.end - one.range.begin}});
  content_.probes = tls_probes(functions, file_);
  stage_ = Stage::done;
}

void StrippedTls::end(std::string problem) {
  content_ = {{}, ".rodata", std::move(problem)};
  references_.reset();
  stage_ = Stage::done;
}

}  // namespace inferscope::discover
