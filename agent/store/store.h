// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "model/record.h"

namespace inferscope::store {

struct Options {
  std::filesystem::path folder{};
  std::size_t rows_kept = 10'000;  ///< of each kind of record; the oldest go
};

struct Query {
  std::string event{};    ///< "inferscope.finding" …
  std::string id{};       ///< beginning of the id; empty: any
  std::string finding{};  ///< id; empty: any
  bool open_only = false;
  std::size_t last = 50;
};

/// The newest state of each finding, decision and effect, in an SQLite database that outlives the agent. Used by one
/// thread.
class Store {
 public:
  /// Opens or creates it. A damaged database is set aside as it is, and a new one begun: see warnings().
  static Result<std::unique_ptr<Store>> open(const Options& options);
  ~Store();
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  /// What happened at opening that somebody should know.
  [[nodiscard]] const std::vector<std::string>& warnings() const;

  /// Keeps the record; one with the same event and id replaces the earlier. A failure is counted, told by the Status
  /// and changes nothing else.
  Status put(const Record& record);
  /// The records' JSON, oldest first.
  [[nodiscard]] Result<std::vector<std::string>> find(const Query& query) const;
  /// What an earlier run left open is over, since nobody has watched it since.
  Status close_left_open();

  [[nodiscard]] std::uint64_t failures() const;

 private:
  struct Impl;
  explicit Store(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace inferscope::store
