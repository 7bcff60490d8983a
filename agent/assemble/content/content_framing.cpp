// SPDX-License-Identifier: Apache-2.0
#include "assemble/content/content_framing.h"

#include <algorithm>
#include <array>

#include "assemble/content/grpc.h"
#include "assemble/content/ndjson.h"
#include "assemble/content/sse.h"
#include "assemble/http1/syntax.h"

namespace inferscope::assemble {
namespace {

struct Row {
  std::string_view media_type;
  ContentKind kind;
};

constexpr std::array<Row, 9> rows{{
    {"text/event-stream", ContentKind::event_stream},
    {"application/x-ndjson", ContentKind::json_lines},
    {"application/ndjson", ContentKind::json_lines},
    {"application/jsonl", ContentKind::json_lines},
    {"application/x-jsonlines", ContentKind::json_lines},
    {"application/json-lines", ContentKind::json_lines},
    {"application/jsonlines", ContentKind::json_lines},
    {"application/grpc", ContentKind::grpc},
    {"application/grpc+proto", ContentKind::grpc},
}};

}  // namespace

std::string_view media_type(std::string_view content_type) {
  return http1::trim(content_type.substr(0, content_type.find(';')));
}

ContentKind content_kind(std::string_view content_type) {
  const std::string_view type = media_type(content_type);
  const auto* row = std::find_if(rows.begin(), rows.end(),
                                 [&](const Row& r) { return http1::equal_ignoring_case(type, r.media_type); });
  return row == rows.end() ? ContentKind::other : row->kind;
}

std::unique_ptr<ContentFraming> make_framing(ContentKind kind, std::string_view message_encoding,
                                             const Limits& limits) {
  switch (kind) {
    case ContentKind::event_stream:
      return std::make_unique<SseParser>(limits.message);
    case ContentKind::json_lines:
      return std::make_unique<NdjsonParser>(limits.message);
    case ContentKind::grpc:
      return std::make_unique<GrpcFraming>(message_encoding, limits);
    case ContentKind::other:
      break;
  }
  return nullptr;
}

}  // namespace inferscope::assemble
