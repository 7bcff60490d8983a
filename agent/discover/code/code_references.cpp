// SPDX-License-Identifier: Apache-2.0
#include "discover/code/code_references.h"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <utility>

namespace inferscope::discover {
namespace {

constexpr std::size_t window = sizeof(std::uint32_t);
constexpr std::size_t found_limit = 8192;
constexpr std::uint64_t low = 0xffff;

}  // namespace

CodeReferences::CodeReferences(const ElfFile& file, std::vector<AddressRange> targets)
    : file_(file), targets_(std::move(targets)), code_(file.code()) {
  std::sort(targets_.begin(), targets_.end(),
            [](const AddressRange& a, const AddressRange& b) { return a.begin < b.begin; });
  // Those that touch become one, so an address is in one at most.
  std::vector<AddressRange> apart;
  for (const AddressRange& target : targets_) {
    if (apart.empty() || target.begin > apart.back().end)
      apart.push_back(target);
    else
      apart.back().end = std::max(apart.back().end, target.end);
  }
  targets_ = std::move(apart);
  for (const AddressRange& target : targets_) {
    const std::uint64_t size = std::min<std::uint64_t>(target.end - target.begin, low + 1);
    for (std::uint64_t i = 0; i < size; ++i) low_bits_.set((target.begin + i) & low);
  }
}

std::size_t CodeReferences::step() {
  while (!code_.empty() && !too_many_) {
    const Elf64_Phdr& segment = code_.back();
    if (!reader_) reader_.emplace(file_, FileRange{segment.p_offset, segment.p_filesz}, window - 1);
    const auto block = reader_->next();
    if (!block) {
      reader_.reset();
      code_.pop_back();
      continue;
    }
    const std::uint64_t address = segment.p_vaddr + (block->offset - segment.p_offset);
    const bool fixed = file_.has_fixed_address();
    for (std::size_t at = 0; at + window <= block->bytes.size(); ++at) {
      std::int32_t value = 0;
      std::memcpy(&value, block->bytes.data() + at, sizeof(value));
      const std::uint64_t relative = address + at + window + static_cast<std::uint64_t>(std::int64_t{value});
      const auto absolute = static_cast<std::uint32_t>(value);
      const bool may_be = low_bits_[relative & low] || (fixed && low_bits_[absolute & low]);
      if (!may_be || !(is_target(relative) || (fixed && is_target(absolute)))) continue;
      if (found_.size() == found_limit) {
        too_many_ = true;
        break;
      }
      found_.push_back(address + at);
    }
    return block->bytes.size();
  }
  return 0;
}

bool CodeReferences::is_target(std::uint64_t address) const {
  const auto next = std::upper_bound(targets_.begin(), targets_.end(), address,
                                     [](std::uint64_t value, const AddressRange& one) { return value < one.begin; });
  return next != targets_.begin() && std::prev(next)->contains(address);
}

}  // namespace inferscope::discover
