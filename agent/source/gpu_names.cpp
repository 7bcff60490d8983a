// SPDX-License-Identifier: Apache-2.0
#include "source/gpu_names.h"

#include <cxxabi.h>

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <utility>

namespace inferscope::source {
namespace {

/// A name may refer to parts of itself, and those to others: what is written out grows as a power of their number.
constexpr std::size_t references_most = 24;

/// References begin with S or T and a number. Counts some that are none.
std::size_t references_in(std::string_view mangled) {
  std::size_t count = 0;
  for (std::size_t i = 0; i + 1 < mangled.size(); ++i) {
    const char next = mangled[i + 1];
    const bool numbered = next == '_' || (next >= '0' && next <= '9') || (next >= 'A' && next <= 'Z');
    if ((mangled[i] == 'S' || mangled[i] == 'T') && numbered) ++count;
  }
  return count;
}

}  // namespace

std::string kernel_name(std::string_view mangled) {
  struct Free {
    void operator()(char* text) const { std::free(text); }
  };
  std::string name(mangled);
  if (name.starts_with("_Z") && references_in(name) <= references_most) {
    int status = 0;
    const std::unique_ptr<char, Free> text(abi::__cxa_demangle(name.c_str(), nullptr, nullptr, &status));
    if (status == 0 && text) name = text.get();
  }
  if (name.size() > GpuNames::longest_name) name.resize(GpuNames::longest_name);
  return name;
}

void GpuNames::learn(const DecodedGpuName& name) {
  auto& kernels = kernels_[name.pid];
  std::string text;
  if (name.alias_of == 0) {
    text = kernel_name(name.name);
  } else {
    const auto known = kernels.find(name.alias_of);
    if (known == kernels.end()) return;
    text = known->second;
  }
  if (kernels.size() < kernels_most || kernels.contains(name.handle)) kernels[name.handle] = std::move(text);
}

std::string_view GpuNames::function(std::uint16_t number) const {
  const auto found = functions_.find(number);
  return found == functions_.end() ? std::string_view() : found->second;
}

GpuCall GpuNames::named(const DecodedGpuCall& call) const {
  GpuCall event = call.event;
  event.function = function(call.function);
  const auto kernels = kernels_.find(event.pid);
  if (kernels == kernels_.end()) return event;
  if (const auto kernel = kernels->second.find(call.kernel); kernel != kernels->second.end())
    event.kernel = kernel->second;
  return event;
}

GpuFailure GpuNames::named(const DecodedGpuFailure& failure) const {
  GpuFailure event = failure.event;
  event.function = function(failure.function);
  return event;
}

}  // namespace inferscope::source
