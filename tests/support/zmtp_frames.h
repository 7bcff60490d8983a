// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

/// Bytes of ZMTP 3 as libzmq writes them, and MessagePack to put in.
namespace inferscope::test {

inline std::string zmtp_greeting(std::string_view mechanism = "NULL", char major = 3) {
  std::string greeting("\xff\0\0\0\0\0\0\0\1\x7f", 10);
  greeting += major;
  greeting += '\1';
  greeting += mechanism;
  greeting.resize(64);
  return greeting;
}

inline std::string zmtp_frame(std::string_view body, bool more = false, bool command = false) {
  std::string frame;
  const bool is_long = body.size() > 255;
  frame += static_cast<char>((more ? 1 : 0) | (is_long ? 2 : 0) | (command ? 4 : 0));
  for (int shift = is_long ? 56 : 0; shift >= 0; shift -= 8)
    frame += static_cast<char>(static_cast<std::uint64_t>(body.size()) >> shift & 0xffU);
  return frame.append(body);
}

inline std::string zmtp_message(std::initializer_list<std::string_view> frames) {
  std::string message;
  std::size_t left = frames.size();
  for (const std::string_view frame : frames) message += zmtp_frame(frame, --left > 0);
  return message;
}

inline std::string zmtp_ready() {
  return zmtp_frame(std::string("\5READY\13Socket-Type\0\0\0\4PUSH", 26), false, true);
}

inline std::string packed_header(std::size_t size, std::uint8_t small, std::size_t small_limit, std::uint8_t large) {
  if (size < small_limit) return {static_cast<char>(small | size)};
  std::string header{static_cast<char>(large)};
  for (int shift = 24; shift >= 0; shift -= 8) header += static_cast<char>(size >> shift & 0xffU);
  return header;
}
inline const std::string packed_nil = "\xc0";
inline std::string packed_text(std::string_view text) {
  return packed_header(text.size(), 0xa0, 32, 0xdb).append(text);
}
inline std::string packed_number(std::uint32_t number) {
  return number < 128 ? std::string{static_cast<char>(number)} : packed_header(number, 0, 0, 0xce);
}
inline std::string packed_real(double number) {
  const auto bits = __builtin_bit_cast(std::uint64_t, number);
  std::string packed = "\xcb";
  for (int shift = 56; shift >= 0; shift -= 8) packed += static_cast<char>(bits >> shift & 0xffU);
  return packed;
}
inline std::string packed_array(const std::vector<std::string>& elements) {
  std::string packed = packed_header(elements.size(), 0x90, 16, 0xdd);
  for (const std::string& element : elements) packed += element;
  return packed;
}
/// Keys and values by turns.
inline std::string packed_map(const std::vector<std::string>& entries) {
  std::string packed = packed_header(entries.size() / 2, 0x80, 16, 0xdf);
  for (const std::string& entry : entries) packed += entry;
  return packed;
}

}  // namespace inferscope::test
