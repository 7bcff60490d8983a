// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "act/lease.h"
#include "core/result.h"

namespace inferscope::act {

/// What the journal says, and what the guardian is told: one JSON object a line, whose last member is the CRC-32
/// (zlib's) of all that stands before it.
struct Record {
  enum class Kind : std::uint8_t {
    intent,  ///< is about to be done; replaces an earlier one of the same effect
    done,
    undone,  ///< there is nothing to undo (any more)
  };

  Kind kind{};
  Lease lease{};  ///< done, undone: only the effect's id
};

inline constexpr std::size_t record_limit = 60u << 10;  ///< bytes; one message to the guardian, too

std::string encode(const Record& record);  ///< without a newline
/// Error: damaged, or not a record.
Result<Record> decode(std::string_view line);

/// What the text of a journal leaves to be undone.
struct JournalContent {
  std::vector<Lease> outstanding{};  ///< oldest first
  std::size_t damaged_lines =
      0;  ///< a last line without its newline is none: it was being written, so nothing was done
};
JournalContent read_journal(std::string_view text);

}  // namespace inferscope::act
