// SPDX-License-Identifier: Apache-2.0
#include "model/finding.h"

#include "model/names.h"

namespace inferscope {
namespace {

constexpr NameTable<Finding::Kind, 4> kind_names{{{Finding::Kind::stall, "stall"},
                                                  {Finding::Kind::down, "down"},
                                                  {Finding::Kind::slow, "slow"},
                                                  {Finding::Kind::errors, "errors"}}};
constexpr NameTable<Cause::Kind, 7> cause_names{{{Cause::Kind::unknown, "unknown"},
                                                 {Cause::Kind::none, "none"},
                                                 {Cause::Kind::stopped, "stopped"},
                                                 {Cause::Kind::frozen, "frozen"},
                                                 {Cause::Kind::throttled, "throttled"},
                                                 {Cause::Kind::cpu_contention, "cpu_contention"},
                                                 {Cause::Kind::exited, "exited"}}};

}  // namespace

std::string_view name_of(Finding::Kind kind) {
  return name_in(kind_names, kind);
}
std::string_view name_of(Cause::Kind kind) {
  return name_in(cause_names, kind);
}
std::optional<Finding::Kind> finding_kind_of(std::string_view name) {
  return value_in(kind_names, name);
}
std::optional<Cause::Kind> cause_kind_of(std::string_view name) {
  return value_in(cause_names, name);
}

}  // namespace inferscope
