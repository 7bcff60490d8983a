// SPDX-License-Identifier: Apache-2.0
#include "assemble/http2/hpack.h"

#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <array>

namespace inferscope::assemble::http2 {
namespace {

/// Encoders may make the table as large as the other side allows; this much is followed.
constexpr std::size_t largest_table = 65536;

constexpr std::uint8_t byte_of(char c) {
  return static_cast<std::uint8_t>(c);
}

/// An integer that begins in the low `prefix` bits (RFC 7541 5.1).
std::optional<std::uint64_t> take_integer(std::string_view& rest, unsigned prefix) {
  if (rest.empty()) return std::nullopt;
  const std::uint64_t most = (1u << prefix) - 1;
  std::uint64_t value = byte_of(rest[0]) & most;
  rest.remove_prefix(1);
  if (value < most) return value;
  for (unsigned shift = 0; shift <= 28; shift += 7) {
    if (rest.empty()) return std::nullopt;
    const std::uint8_t byte = byte_of(rest[0]);
    rest.remove_prefix(1);
    value += std::uint64_t{byte & 0x7fU} << shift;
    if ((byte & 0x80U) == 0) return value;
  }
  return std::nullopt;
}

std::optional<WireString> take_string(std::string_view& rest) {
  if (rest.empty()) return std::nullopt;
  WireString string{.huffman = (byte_of(rest[0]) & 0x80U) != 0};
  const auto size = take_integer(rest, 7);
  if (!size || *size > rest.size()) return std::nullopt;
  string.bytes = rest.substr(0, *size);
  rest.remove_prefix(*size);
  return string;
}

}  // namespace

void HpackDecoder::Delete::operator()(nghttp2_hd_inflater* inflater) const {
  nghttp2_hd_inflate_del(inflater);
}

HpackDecoder::HpackDecoder() {
  reset();
}
HpackDecoder::~HpackDecoder() = default;

void HpackDecoder::reset() {
  nghttp2_hd_inflater* made = nullptr;
  inflater_.reset(nghttp2_hd_inflate_new(&made) == 0 ? made : nullptr);
  // No more than a permission: the table has its usual size until the encoder says otherwise.
  if (inflater_ && nghttp2_hd_inflate_change_table_size(inflater_.get(), largest_table) != 0) inflater_.reset();
}

bool HpackDecoder::in_table(std::uint64_t index) const {
  return index <= nghttp2_hd_inflate_get_num_table_entries(inflater_.get());
}

bool HpackDecoder::decode(std::string_view block, const std::function<void(const HpackField&)>& emit) {
  bool good = inflater_ != nullptr;
  while (good && !block.empty()) good = step(block, emit);
  if (good) {
    nghttp2_nv pair;
    int flags = 0;
    good = nghttp2_hd_inflate_hd2(inflater_.get(), &pair, &flags, nullptr, 0, 1) >= 0 &&
           nghttp2_hd_inflate_end_headers(inflater_.get()) == 0;
  }
  if (!good) reset();
  return good;
}

/// One representation at a time (RFC 7541 6), so that one which cannot be known does not take the others with it.
bool HpackDecoder::step(std::string_view& rest, const std::function<void(const HpackField&)>& emit) {
  const std::string_view all = rest;
  const std::uint8_t first = byte_of(rest[0]);
  const bool is_indexed = (first & 0x80U) != 0;
  const bool is_kept = !is_indexed && (first & 0x40U) != 0;
  const bool is_size = !is_indexed && !is_kept && (first & 0x20U) != 0;
  const auto index = take_integer(rest, is_indexed ? 7 : is_kept ? 6 : is_size ? 5 : 4);
  if (!index) return false;
  const auto taken = [&] { return all.substr(0, all.size() - rest.size()); };
  HpackField field;
  if (is_size) return inflate(taken(), field);
  if (is_indexed) return indexed(taken(), *index, emit);

  if (*index == 0 && !(field.wire_name = take_string(rest))) return false;
  const std::size_t value_begin = taken().size();
  if (!(field.wire_value = take_string(rest))) return false;
  field.known = in_table(*index);
  std::string_view representation = taken();
  if (!field.known) {  // with no name for the one that is not known
    substitute_.assign(1, is_kept ? '\x40' : '\0').append(1, '\0').append(representation.substr(value_begin));
    representation = substitute_;
  }
  if (!inflate(representation, field)) return false;
  emit(field);
  return true;
}

bool HpackDecoder::indexed(std::string_view representation, std::uint64_t index,
                           const std::function<void(const HpackField&)>& emit) {
  HpackField field;
  if (!in_table(index)) {
    field.known = false;
  } else if (!inflate(representation, field)) {
    return false;
  }
  emit(field);
  return true;
}

bool HpackDecoder::inflate(std::string_view representation, HpackField& field) {
  while (!representation.empty()) {
    nghttp2_nv pair;
    int flags = 0;
    const auto used =
        nghttp2_hd_inflate_hd2(inflater_.get(), &pair, &flags,
                               reinterpret_cast<const std::uint8_t*>(representation.data()), representation.size(), 0);
    if (used < 0) return false;
    representation.remove_prefix(static_cast<std::size_t>(used));
    if ((flags & NGHTTP2_HD_INFLATE_EMIT) != 0) {
      field.known = field.known && pair.namelen > 0;  // an entry whose name was not known when it was made has none
      field.name = {reinterpret_cast<const char*>(pair.name), pair.namelen};
      field.value = {reinterpret_cast<const char*>(pair.value), pair.valuelen};
    } else if (used == 0) {
      return representation.empty();
    }
  }
  return true;
}

void mask_string(const WireString& string, std::size_t decoded, const std::function<void(std::size_t, char)>& put) {
  const std::size_t size = string.bytes.size();
  if (!string.huffman) {
    for (std::size_t i = 0; i < size; ++i) put(i, 'x');
    return;
  }
  // Of the characters "\\", "<", "^", "]", "#", "|", "!", "X", "x", "-" and "0", as many with long codes as fill it;
  // less than 8 ones at the end are no character. No other printable one has a longer code: of what is no text the
  // length is lost.
  struct Code {
    std::uint32_t bits;
    unsigned length;
  };
  constexpr std::array<Code, 11> codes{{{0x7fff0, 19},
                                        {0x7ffc, 15},
                                        {0x3ffc, 14},
                                        {0x1ffc, 13},
                                        {0xffa, 12},
                                        {0x7fc, 11},
                                        {0x3f8, 10},
                                        {0xfc, 8},
                                        {0x79, 7},
                                        {0x16, 6},
                                        {0x00, 5}}};
  constexpr std::size_t shortest = 5;
  constexpr std::size_t longest = 19;
  const bool kept = decoded * longest + 7 >= size * 8 && decoded * shortest <= size * 8;
  const std::size_t characters = kept ? decoded : size;
  std::size_t left = size * 8;
  std::size_t at = 0;
  std::uint32_t pending = 0;
  unsigned count = 0;
  const auto append = [&](std::uint32_t bits, unsigned length) {
    pending = (pending << length) | bits;
    for (count += length; count >= 8; count -= 8) put(at++, static_cast<char>((pending >> (count - 8)) & 0xffU));
  };
  for (std::size_t rest = characters; rest-- > 0;) {
    const auto* code =
        std::find_if(codes.begin(), codes.end(), [&](const Code& one) { return one.length + rest * shortest <= left; });
    append(code->bits, code->length);
    left -= code->length;
  }
  if (count > 0) append((1U << (8 - count)) - 1, 8 - count);
}

}  // namespace inferscope::assemble::http2
