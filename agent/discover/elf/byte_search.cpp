// SPDX-License-Identifier: Apache-2.0
#include "discover/elf/byte_search.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace inferscope::discover {
namespace {

constexpr std::size_t block = 256u << 10;

std::uint32_t four_bytes(const void* at) {
  std::uint32_t value = 0;
  std::memcpy(&value, at, sizeof(value));
  return value;
}

/// 16 bits.
std::uint32_t hash_of(std::uint32_t value) {
  return (value * 0x9e3779b1u) >> 16;
}

}  // namespace

BlockReader::BlockReader(const ElfFile& file, FileRange range, std::size_t overlap)
    : file_(file), range_(range), overlap_(overlap), buffer_(overlap + block) {}

std::optional<BlockReader::Block> BlockReader::next() {
  if (done_ >= range_.size) return std::nullopt;
  const auto wanted = static_cast<std::size_t>(std::min<std::uint64_t>(block, range_.size - done_));
  if (done_ > 0) {
    const std::size_t keep = std::min(overlap_, kept_);
    std::memmove(buffer_.data(), buffer_.data() + kept_ - keep, keep);
    kept_ = keep;
  }
  const std::uint64_t begin = range_.offset + done_ - kept_;
  const std::size_t got = file_.read(range_.offset + done_, std::span(buffer_).subspan(kept_, wanted));
  kept_ += got;
  done_ = got < wanted ? range_.size : done_ + got;  // the file ends here
  if (got == 0) return std::nullopt;
  return Block{begin, std::span(buffer_).first(kept_)};
}

ByteSearch::ByteSearch(std::vector<std::string_view> texts) : texts_(std::move(texts)) {
  for (const std::string_view text : texts_) {
    longest_ = std::max(longest_, text.size());
    beginnings_.set(hash_of(four_bytes(text.data())));
  }
}

void ByteSearch::find(std::span<const std::byte> bytes, std::uint64_t offset, std::vector<Place>& places) const {
  constexpr std::size_t window = sizeof(std::uint32_t);
  if (bytes.size() < window) return;
  const std::string_view content(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  for (std::size_t at = 0; at + window <= content.size(); ++at) {
    if (!beginnings_[hash_of(four_bytes(content.data() + at))]) continue;
    for (std::size_t i = 0; i < texts_.size(); ++i)
      if (content.substr(at).starts_with(texts_[i])) places.push_back({i, offset + at});
  }
}

std::vector<ByteSearch::Place> find_texts(const ByteSearch& search, const ElfFile& file, FileRange range,
                                          std::size_t most) {
  BlockReader blocks(file, range, search.longest() - 1);
  std::vector<ByteSearch::Place> places;
  while (const auto block = blocks.next()) {
    search.find(block->bytes, block->offset - range.offset, places);
    // What lies in the overlap was found before.
    std::sort(places.begin(), places.end());
    places.erase(std::unique(places.begin(), places.end()), places.end());
    if (places.size() >= most) break;
  }
  return places;
}

}  // namespace inferscope::discover
