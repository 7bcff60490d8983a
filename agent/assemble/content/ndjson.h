// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>

#include "assemble/content/content_framing.h"

namespace inferscope::assemble {

/// Newline-delimited JSON: one message per line that is not blank, without its LF or CR LF; the last one needs none.
class NdjsonParser final : public ContentFraming {
 public:
  explicit NdjsonParser(std::size_t limit) : limit_(limit) {}

  void feed(std::string_view bytes, MessageSink& sink) override;
  void hole() override;
  void end(MessageSink& sink) override;

 private:
  void keep(std::string_view part);
  void finish_line(std::string_view line, MessageSink& sink);

  std::size_t limit_;
  std::string carry_{};  ///< beginning of a line
  bool oversized_ = false;
  bool skipping_ = false;  ///< up to the end of a line that has a hole
};

}  // namespace inferscope::assemble
