// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

struct nghttp2_hd_inflater;

namespace inferscope::assemble::http2 {

/// A string as it is in a header block, after its length (RFC 7541 5.2).
struct WireString {
  std::string_view bytes{};
  bool huffman = false;
};

/// One field of a header block. Views are valid during the call; those of the wire point into the block.
struct HpackField {
  std::string_view name{};
  std::string_view value{};
  /// False: it refers to what was put in the table before anybody watched. An unknown name is empty; the value of a
  /// field that has only its name in the table is known.
  bool known = true;
  std::optional<WireString> wire_name{};
  std::optional<WireString> wire_value{};
};

/// Decodes the header blocks of one direction (RFC 7541), by nghttp2. What that cannot do is begin in the middle: here
/// an entry of the table that was not seen is an unknown field instead of the end of everything, since the table counts
/// from the newest entry, so what comes later is found in it all the same.
class HpackDecoder {
 public:
  HpackDecoder();
  ~HpackDecoder();
  HpackDecoder(const HpackDecoder&) = delete;
  HpackDecoder& operator=(const HpackDecoder&) = delete;

  /// A whole block. False: it is not HPACK, and the table is not known any more.
  bool decode(std::string_view block, const std::function<void(const HpackField&)>& emit);
  /// A block was missed, and what it put in the table.
  void lose() { reset(); }

 private:
  struct Delete {
    void operator()(nghttp2_hd_inflater* inflater) const;
  };

  void reset();
  bool step(std::string_view& rest, const std::function<void(const HpackField&)>& emit);
  bool indexed(std::string_view representation, std::uint64_t index,
               const std::function<void(const HpackField&)>& emit);
  bool inflate(std::string_view representation, HpackField& field);
  [[nodiscard]] bool in_table(std::uint64_t index) const;

  std::unique_ptr<nghttp2_hd_inflater, Delete> inflater_{};
  std::string substitute_{};
};

/// Writes over a string of a header block what says nothing and decodes to as many bytes, `decoded`, so that a table
/// that counts them goes on as before (RFC 7541 4.1, appendix B). `put(i, byte)`: the i-th byte becomes that.
void mask_string(const WireString& string, std::size_t decoded, const std::function<void(std::size_t, char)>& put);

}  // namespace inferscope::assemble::http2
