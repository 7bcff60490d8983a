// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>

#include "source/gpu_decoder.h"

namespace inferscope::source {

/// Names of what calls to GPU libraries tell by numbers: functions, and kernels by their handles in a process.
class GpuNames {
 public:
  static constexpr std::size_t kernels_most = 4096;  ///< of a process; more of them stay without a name
  static constexpr std::size_t longest_name = 128;   ///< bytes

  void add_function(std::uint16_t number, const std::string& symbol) { functions_.try_emplace(number, symbol); }
  void learn(const DecodedGpuName& name);
  /// All kernels of a process.
  void forget(Pid pid) { kernels_.erase(pid); }

  /// Views of the result are valid until the next change.
  [[nodiscard]] GpuCall named(const DecodedGpuCall& call) const;
  [[nodiscard]] GpuFailure named(const DecodedGpuFailure& failure) const;

 private:
  [[nodiscard]] std::string_view function(std::uint16_t number) const;

  std::map<std::uint16_t, std::string> functions_{};
  std::map<Pid, std::unordered_map<std::uint64_t, std::string>> kernels_{};
};

/// As the source code has it; any text that is no mangled name stays as it is. Cut.
std::string kernel_name(std::string_view mangled);

}  // namespace inferscope::source
