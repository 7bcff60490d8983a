// SPDX-License-Identifier: Apache-2.0
#include "assemble/content/ndjson.h"

namespace inferscope::assemble {

void NdjsonParser::feed(std::string_view bytes, MessageSink& sink) {
  while (!bytes.empty()) {
    const std::size_t end = bytes.find('\n');
    if (end == std::string_view::npos) return keep(bytes);
    const std::string_view part = bytes.substr(0, end);
    bytes.remove_prefix(end + 1);
    if (skipping_) {
      skipping_ = false;
    } else if (carry_.empty() && !oversized_) {
      finish_line(part, sink);
    } else {
      keep(part);
      finish_line(carry_, sink);
    }
    carry_.clear();
    oversized_ = false;
  }
}

void NdjsonParser::keep(std::string_view part) {
  if (skipping_ || oversized_) return;
  oversized_ = carry_.size() + part.size() > limit_;
  if (!oversized_) carry_.append(part);
}

void NdjsonParser::finish_line(std::string_view line, MessageSink& sink) {
  if (oversized_ || line.size() > limit_) return sink.oversized();
  if (line.ends_with('\r')) line.remove_suffix(1);
  if (line.find_first_not_of(" \t\r") != std::string_view::npos) sink.message({}, line);
}

void NdjsonParser::hole() {
  carry_.clear();
  oversized_ = false;
  skipping_ = true;
}

void NdjsonParser::end(MessageSink& sink) {
  if (!skipping_ && (oversized_ || !carry_.empty())) finish_line(carry_, sink);
  carry_.clear();
  oversized_ = false;
}

}  // namespace inferscope::assemble
