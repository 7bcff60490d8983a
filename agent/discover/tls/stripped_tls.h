// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "discover/code/code_references.h"
#include "discover/elf/byte_search.h"
#include "discover/elf/elf_file.h"
#include "discover/elf/unwind_table.h"
#include "discover/tls/openssl_functions.h"
#include "discover/tls/tls_functions.h"

namespace inferscope::discover {

/// Looks for TLS in a program whose functions have no names. That there is some, a text tells that each implementation
/// contains. OpenSSL's functions are found by the texts and functions that they refer to, and are told if that is
/// proven. Reads all constants, and all code some times, in slices.
class StrippedTls {
 public:
  /// The file must outlive this.
  explicit StrippedTls(const ElfFile& file);

  /// Goes on for what takes about as long as reading so many bytes. True: `content` is complete.
  bool step(std::uint64_t bytes);
  /// What all steps took together, as times that of reading a byte.
  [[nodiscard]] std::uint64_t cost() const { return cost_; }
  /// Probes, or a problem, with evidence; no evidence: there is no TLS.
  [[nodiscard]] const TlsContent& content() const { return content_; }

 private:
  enum class Stage : std::uint8_t {
    texts,
    references,  ///< to the texts
    callers,     ///< of what refers to them, then of what was found by that
    done
  };

  std::uint64_t search_texts();
  std::uint64_t search_code();
  std::uint64_t decode_one();
  void end_texts();
  std::uint64_t end_search();
  void end_stage();
  void tell_functions();
  void end(std::string problem);

  const ElfFile& file_;
  Stage stage_ = Stage::texts;
  ByteSearch search_;
  BlockReader constants_;
  bool has_label_ = false;
  std::optional<std::size_t> implementation_{};
  std::vector<ByteSearch::Place> places_{};
  OpenSslTexts texts_{};
  std::optional<CodeReferences> references_{};
  std::vector<CodePiece> to_decode_{};
  OpenSslPieces pieces_{};
  std::set<std::uint64_t> callees_{};  ///< whose callers were searched for
  std::size_t rounds_ = 0;
  std::uint64_t read_ = 0;
  std::uint64_t cost_ = 0;
  std::uint64_t decoded_ = 0;  ///< bytes
  TlsContent content_{};
};

}  // namespace inferscope::discover
