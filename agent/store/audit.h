// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "core/fd.h"
#include "core/result.h"

namespace inferscope::store {

/// An append-only file of what was decided and done. Each line is
///   SEQUENCE TIME HASH TEXT
/// where TIME is in Unix nanoseconds, TEXT is one JSON object, and HASH is the SHA-256 of the line before's HASH, the
/// SEQUENCE, the TIME and the TEXT, separated by blanks. So a line cannot be changed, left out or put in without
/// breaking every hash behind it. Cutting off the end shows only against a hash that somebody noted before.
class Audit {
 public:
  /// Continues the file. One that does not verify is set aside and a new chain begun, whose first line says so.
  static Result<Audit> open(const std::filesystem::path& file);

  [[nodiscard]] const std::vector<std::string>& warnings() const { return warnings_; }
  /// Appends and syncs. `json`: one object without line ends.
  Status append(std::int64_t unix_ns, std::string_view json);

  struct Verdict {
    std::uint64_t lines = 0;
    std::string last_hash{};
    std::uint64_t bad_line = 0;  ///< first that does not fit, from 1; 0: all do
    std::string problem{};
  };
  /// Reads a file from its beginning.
  static Result<Verdict> verify(const std::filesystem::path& file);
  static Verdict verify_text(std::string_view text);

 private:
  Audit() = default;

  Fd file_{};
  std::uint64_t sequence_ = 0;
  std::string hash_{};
  std::vector<std::string> warnings_{};
};

}  // namespace inferscope::store
