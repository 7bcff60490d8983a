// SPDX-License-Identifier: Apache-2.0
#include "interpret/body.h"

#include <algorithm>

namespace inferscope::interpret {

void Body::add(std::string_view data, std::size_t head_limit, std::size_t tail_limit) {
  if (!head_ended_) {
    const std::size_t fits = std::min(data.size(), head_limit - std::min(head_limit, head_.size()));
    head_ += data.substr(0, fits);
    data.remove_prefix(fits);
    if (data.empty()) return;
    head_ended_ = true;
  }
  if (data.size() > tail_limit) {
    missing_ = true;
    tail_.clear();
    data = data.substr(data.size() - tail_limit);
  }
  tail_ += data;
  if (tail_.size() > 2 * tail_limit) {
    missing_ = true;
    tail_.erase(0, tail_.size() - tail_limit);
  }
}

void Body::hole() {
  missing_ = true;
  head_ended_ = true;
  tail_.clear();
}

void Body::clear() {
  *this = Body();
}

std::string_view Body::tail(std::size_t tail_limit) const {
  const std::string_view tail = tail_;
  if (missing_ && tail.size() > tail_limit) return tail.substr(tail.size() - tail_limit);
  return tail;
}

}  // namespace inferscope::interpret
