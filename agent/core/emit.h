// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>

namespace inferscope {

/// Where a stage puts its values. What the argument points to is valid during the call only.
template <class T>
using Emit = std::function<void(const T&)>;

}  // namespace inferscope
