// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "model/request_trace.h"

namespace inferscope::correlate {

/// What makes a request different from every other one, on this host and on others. Ids are mixed from it and from
/// nothing else, so that a replay gives the same ones.
struct IdSeed {
  ConnectionId connection = 0;
  std::uint64_t sequence = 0;
  std::int64_t begin_ns = 0;
  std::uint64_t process_start_ns = 0;
  std::int64_t unix_minus_kernel_ns = 0;
};
TraceId make_trace_id(const IdSeed& seed);
SpanId make_http_span_id(const IdSeed& seed);
SpanId make_call_span_id(const IdSeed& seed);

/// 64 bits from text, for comparisons of equality. 0 for empty text.
std::uint64_t hash_of(std::string_view text);

struct TraceParent {
  TraceId trace_id{};
  SpanId span_id{};
  std::uint8_t flags = 0;
};
/// W3C Trace Context, as strict as it asks for: lower-case hexadecimal, no id of zeros, not version ff, and nothing
/// behind the flags in version 00.
std::optional<TraceParent> parse_traceparent(std::string_view header);

}  // namespace inferscope::correlate
