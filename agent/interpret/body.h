// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace inferscope::interpret {

/// The beginning and the end of a body: what fits into `head_limit`, and of what comes behind, or behind a hole, the
/// last `tail_limit` bytes.
class Body {
 public:
  void add(std::string_view data, std::size_t head_limit, std::size_t tail_limit);
  void hole();
  void clear();

  /// All of it is there: head() + tail() is the body.
  [[nodiscard]] bool whole() const { return !missing_; }
  [[nodiscard]] bool empty() const { return head_.empty() && tail_.empty(); }
  [[nodiscard]] std::string_view head() const { return head_; }
  [[nodiscard]] std::string_view tail(std::size_t tail_limit) const;
  [[nodiscard]] std::size_t bytes() const { return head_.size() + tail_.size(); }

 private:
  std::string head_{};
  std::string tail_{};  ///< up to twice the limit, so that making room costs little
  bool head_ended_ = false;
  bool missing_ = false;
};

}  // namespace inferscope::interpret
