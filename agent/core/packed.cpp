// SPDX-License-Identifier: Apache-2.0
#include "core/packed.h"

// In this order: the second needs names of the first, and says so nowhere.
// clang-format off
#include <msgpack/unpack.hpp>
#include <msgpack/null_visitor.hpp>
// clang-format on

#include <algorithm>
#include <array>
#include <limits>

namespace inferscope {
namespace {

constexpr std::size_t kept_values = 4096;  ///< more memory than for these is given back

class TreeBuilder : public msgpack::null_visitor {
 public:
  explicit TreeBuilder(std::vector<Packed>& values) : values_(values) {}

  bool visit_nil() { return add({}); }
  bool visit_boolean(bool value) { return add({.kind = Packed::Kind::boolean, .integer = value}); }
  bool visit_positive_integer(std::uint64_t value) {
    constexpr auto most = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
    return add({.kind = Packed::Kind::integer,
                .integer = static_cast<std::int64_t>(std::min(value, most)),
                .real = static_cast<double>(value)});
  }
  bool visit_negative_integer(std::int64_t value) {
    return add({.kind = Packed::Kind::integer, .integer = value, .real = static_cast<double>(value)});
  }
  bool visit_float32(float value) { return visit_float64(value); }
  bool visit_float64(double value) { return add({.kind = Packed::Kind::real, .real = value}); }
  bool visit_str(const char* text, std::uint32_t size) {
    return add({.kind = Packed::Kind::text, .content = {text, size}});
  }
  bool visit_bin(const char* bytes, std::uint32_t size) {
    return add({.kind = Packed::Kind::binary, .content = {bytes, size}});
  }
  bool visit_ext(const char* bytes, std::uint32_t size) { return visit_bin(bytes, size); }
  bool start_array(std::uint32_t size) { return open({.kind = Packed::Kind::array, .whole = false, .size = size}); }
  bool end_array() { return close(); }
  bool start_map(std::uint32_t size) { return open({.kind = Packed::Kind::map, .whole = false, .size = size}); }
  bool end_map() { return close(); }
  void insufficient_bytes(std::size_t /*parsed*/, std::size_t /*place*/) { cut_off_ = true; }

  [[nodiscard]] bool cut_off() const { return cut_off_; }

 private:
  struct Level {
    std::uint32_t place = 0;  ///< 0: not kept
    std::uint32_t last = 0;   ///< child
    std::uint32_t children = 0;
    bool whole = true;
  };

  bool add(const Packed& value) {
    place(value);
    return true;
  }

  std::uint32_t place(const Packed& value) {
    if (depth_ > 0) {
      Level& level = levels_[depth_ - 1];
      if (level.place == 0 || level.children >= PackedReader::longest_row ||
          values_.size() > PackedReader::most_values) {
        level.whole = false;
        return 0;
      }
      ++level.children;
    }
    const auto at = static_cast<std::uint32_t>(values_.size());
    values_.push_back(value);
    if (depth_ == 0) return at;
    Level& level = levels_[depth_ - 1];
    (level.last != 0 ? values_[level.last].next : values_[level.place].first) = at;
    level.last = at;
    return at;
  }

  bool open(const Packed& value) {
    if (depth_ == levels_.size()) return false;
    const std::uint32_t at = place(value);
    levels_[depth_++] = {.place = at};
    return true;
  }

  bool close() {
    const Level& level = levels_[--depth_];
    if (level.place != 0) values_[level.place].whole = level.whole;
    return true;
  }

  std::vector<Packed>& values_;
  std::array<Level, PackedReader::deepest> levels_{};
  std::size_t depth_ = 0;
  bool cut_off_ = false;
};

}  // namespace

const Packed* PackedReader::parse(std::string_view bytes) {
  if (values_.capacity() > kept_values) std::vector<Packed>().swap(values_);
  values_.assign(1, {});
  TreeBuilder builder(values_);
  std::size_t offset = 0;
  const bool complete = msgpack::parse(bytes.data(), bytes.size(), offset, builder);
  cut_off_ = builder.cut_off();
  size_.reset();
  if (complete) size_ = offset;
  return values_.size() > 1 ? &values_[1] : nullptr;
}

const Packed* PackedReader::element(const Packed& array, std::size_t index) const {
  if (!array.is(Packed::Kind::array)) return nullptr;
  const Packed* found = first(array);
  for (; found != nullptr && index > 0; --index) found = next(*found);
  return found;
}

const Packed* PackedReader::member(const Packed& map, std::string_view name) const {
  if (!map.is(Packed::Kind::map)) return nullptr;
  for (const Packed* key = first(map); key != nullptr;) {
    const Packed* value = next(*key);
    if (value == nullptr) return nullptr;
    if (key->is(Packed::Kind::text) && key->content == name) return value;
    key = next(*value);
  }
  return nullptr;
}

std::string_view PackedReader::text_member(const Packed& map, std::string_view name) const {
  const Packed* value = member(map, name);
  return value != nullptr && value->is(Packed::Kind::text) ? value->content : std::string_view();
}

std::optional<std::uint64_t> PackedReader::count_member(const Packed& map, std::string_view name) const {
  const Packed* value = member(map, name);
  return value != nullptr ? count_of(*value) : std::nullopt;
}

std::optional<std::uint64_t> count_of(const Packed& value) {
  if (!value.is(Packed::Kind::integer) || value.integer < 0) return std::nullopt;
  return static_cast<std::uint64_t>(value.integer);
}

}  // namespace inferscope
