// SPDX-License-Identifier: Apache-2.0
#include "detect/server.h"

#include <algorithm>

namespace inferscope::detect {

const std::string& Server::bounded_model(const std::string& model) {
  static const std::string other;
  const auto known = baselines.find(model);
  if (known != baselines.end()) return known->first;
  return baselines.try_emplace(baselines.size() < models_kept ? model : other).first->first;
}

std::size_t Server::working() const {
  return static_cast<std::size_t>(
      std::count_if(requests.begin(), requests.end(), [](const auto& one) { return one.second.ready.has_value(); }));
}

}  // namespace inferscope::detect
