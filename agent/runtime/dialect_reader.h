// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <yaml-cpp/yaml.h>

#include <vector>

#include "interpret/dialect_definition.h"

namespace inferscope::runtime {

/// The configuration's `dialects`. May be called inside yaml::parse only.
std::vector<interpret::DialectDefinition> read_dialects(const YAML::Node& node);

}  // namespace inferscope::runtime
