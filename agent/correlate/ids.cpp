// SPDX-License-Identifier: Apache-2.0
#include "correlate/ids.h"

#include <algorithm>
#include <cstddef>
#include <span>

#include "core/hash.h"

namespace inferscope::correlate {
namespace {

/// One step of splitmix64: other than its finaliser alone, it does not leave 0 as it is.
constexpr std::uint64_t mix(std::uint64_t x) {
  return mixed(x + 0x9e3779b97f4a7c15U);
}

std::uint64_t mix(const IdSeed& seed, std::uint64_t salt) {
  std::uint64_t x = mix(salt);
  for (const std::uint64_t part : {seed.connection, seed.sequence, static_cast<std::uint64_t>(seed.begin_ns),
                                   seed.process_start_ns, static_cast<std::uint64_t>(seed.unix_minus_kernel_ns)})
    x = mix(x ^ part);
  return x == 0 ? 1 : x;  // an id of zeros is not one
}

void store(std::uint64_t value, std::span<std::uint8_t> out) {
  for (std::size_t i = 0; i < 8; ++i) out[i] = static_cast<std::uint8_t>(value >> (56U - 8U * i));
}

SpanId span_id(const IdSeed& seed, std::uint64_t salt) {
  SpanId id{};
  store(mix(seed, salt), id);
  return id;
}

int digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool parse_hex(std::string_view text, std::span<std::uint8_t> out) {
  for (std::size_t i = 0; i < out.size(); ++i) {
    const int high = digit(text[2 * i]);
    const int low = digit(text[2 * i + 1]);
    if (high < 0 || low < 0) return false;
    out[i] = static_cast<std::uint8_t>(high * 16 + low);
  }
  return true;
}

bool all_zero(std::span<const std::uint8_t> bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](std::uint8_t byte) { return byte == 0; });
}

}  // namespace

TraceId make_trace_id(const IdSeed& seed) {
  TraceId id{};
  store(mix(seed, 3), std::span(id).first(8));
  store(mix(seed, 4), std::span(id).last(8));
  return id;
}

SpanId make_http_span_id(const IdSeed& seed) {
  return span_id(seed, 1);
}
SpanId make_call_span_id(const IdSeed& seed) {
  return span_id(seed, 2);
}

std::uint64_t hash_of(std::string_view text) {
  if (text.empty()) return 0;
  const std::uint64_t hash = mix(fnv1a(text));
  return hash == 0 ? 1 : hash;
}

std::optional<TraceParent> parse_traceparent(std::string_view header) {
  // 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01
  constexpr std::size_t length = 55;
  if (header.size() < length) return std::nullopt;
  if (header[2] != '-' || header[35] != '-' || header[52] != '-') return std::nullopt;
  std::uint8_t version = 0;
  TraceParent parent;
  if (!parse_hex(header.substr(0, 2), std::span(&version, 1)) || !parse_hex(header.substr(3, 32), parent.trace_id) ||
      !parse_hex(header.substr(36, 16), parent.span_id) ||
      !parse_hex(header.substr(53, 2), std::span(&parent.flags, 1)))
    return std::nullopt;
  if (version == 0xff || all_zero(parent.trace_id) || all_zero(parent.span_id)) return std::nullopt;
  // Later versions may have more behind another dash.
  if (header.size() > length && (version == 0 || header[length] != '-')) return std::nullopt;
  return parent;
}

}  // namespace inferscope::correlate
