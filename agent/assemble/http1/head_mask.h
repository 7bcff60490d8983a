// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "assemble/http1/reader.h"
#include "assemble/protocol.h"

namespace inferscope::assemble::http1 {

/// Says which bytes of HTTP/1 heads, chunk sizes and trailers are structure. Kept: start lines but for the values in
/// a query and the reason phrase; field names; values of fields that say how a message is framed, who talks to whom
/// and how long it took. A line that the Reader would refuse is still refused when it is masked.
class HeadMask {
 public:
  explicit HeadMask(Side side) : side_(side) {}

  enum class Value : std::uint8_t { masked, kept, number };

  /// Of a field's value; the name in lower case.
  static Value treatment_of(std::string_view name);

  void feed(Part part, std::string_view range, MaskOutput& output);
  /// The next byte begins a line, whatever came before it.
  void begin_line() { phase_ = Phase::begin; }

 private:
  enum class Phase : std::uint8_t { begin, method, target, query, version, status, reason, name, value, size, garbage };

  void byte(Part part, std::string_view rest, MaskOutput& output);
  void start_line_byte(std::string_view rest, MaskOutput& output);
  void method_byte(std::string_view byte, MaskOutput& output);
  void target_byte(std::string_view byte, MaskOutput& output);
  void query_byte(std::string_view rest, MaskOutput& output);
  void version_byte(std::string_view byte, MaskOutput& output);
  void status_byte(std::string_view byte, MaskOutput& output);
  void field_byte(std::string_view rest, MaskOutput& output);
  void name_byte(std::string_view rest, MaskOutput& output);
  void value_byte(std::string_view byte, MaskOutput& output);
  void chunk_byte(std::string_view byte, MaskOutput& output);

  const Side side_;
  Phase phase_ = Phase::begin;
  Value value_ = Value::masked;
  bool query_name_kept_ = false;
  bool query_value_ = false;
  bool name_known_ = true;  ///< none of the name's bytes was masked
  std::size_t count_ = 0;   ///< bytes of the current phase
  std::string word_{};      ///< method, beginning of the target, or field name in lower case
};

}  // namespace inferscope::assemble::http1
