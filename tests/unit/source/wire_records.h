// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <cstddef>
#include <cstring>
#include <string_view>
#include <vector>

#include "bpf/abi/wire.h"
#include "source/wire_decoder.h"

namespace inferscope::source {

using Bytes = std::vector<std::byte>;

constexpr __u64 record_time_ns = 7'000;

/// A record as the kernel side would write it.
template <class Record>
Bytes bytes_of(Record record, int kind, std::string_view content = {}) {
  Bytes bytes(sizeof(record) + content.size());
  record.header = {.kind = static_cast<__u16>(kind),
                   .version = WIRE_VERSION,
                   .size = static_cast<__u32>(bytes.size()),
                   .time_ns = record_time_ns};
  std::memcpy(bytes.data(), &record, sizeof(record));
  if (!content.empty()) std::memcpy(bytes.data() + sizeof(record), content.data(), content.size());
  return bytes;
}

template <class T>
T decoded(const Bytes& bytes) {
  const auto result = decode(bytes);
  if (!result) {
    ADD_FAILURE() << result.error().text();
    return {};
  }
  EXPECT_EQ(result->time, time_from_ns(record_time_ns));
  const T* body = std::get_if<T>(&result->body);
  if (!body) ADD_FAILURE() << "another kind of record";
  return body ? *body : T{};
}

}  // namespace inferscope::source
