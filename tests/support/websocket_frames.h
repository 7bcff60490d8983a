// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace inferscope::test {

inline constexpr unsigned char ws_continuation = 0x0;
inline constexpr unsigned char ws_text = 0x1;
inline constexpr unsigned char ws_binary = 0x2;
inline constexpr unsigned char ws_close = 0x8;
inline constexpr unsigned char ws_ping = 0x9;
inline constexpr unsigned char ws_pong = 0xa;
inline constexpr unsigned char ws_final = 0x80;
inline constexpr unsigned char ws_compressed = 0x40;

inline const std::string ws_request =
    "GET /v1/realtime?model=m HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

inline std::string ws_response(std::string_view extensions = {}) {
  std::string head = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\n";
  if (!extensions.empty()) head.append("Sec-WebSocket-Extensions: ").append(extensions).append("\r\n");
  return head + "\r\n";
}

/// A WebSocket frame; `first` is its first byte. A client's has a key of four bytes.
inline std::string ws_frame(unsigned char first, std::string_view payload, std::string_view key = {}) {
  constexpr std::size_t short_most = 125;
  constexpr std::size_t two_bytes_most = 0xffff;
  std::string frame(1, static_cast<char>(first));
  const unsigned mask = key.empty() ? 0 : 0x80;
  const std::size_t size = payload.size();
  const int length_bytes = size <= short_most ? 0 : size <= two_bytes_most ? 2 : 8;
  frame.push_back(static_cast<char>(mask | (length_bytes == 0 ? size : length_bytes == 2 ? 126 : 127)));
  for (int i = length_bytes - 1; i >= 0; --i)
    frame.push_back(static_cast<char>(static_cast<std::uint64_t>(size) >> (8 * i) & 0xff));
  frame.append(key);
  for (std::size_t i = 0; i < size; ++i)
    frame.push_back(key.empty() ? payload[i] : static_cast<char>(payload[i] ^ key[i % key.size()]));
  return frame;
}

inline std::string ws_server_text(std::string_view payload) {
  return ws_frame(ws_final | ws_text, payload);
}
inline std::string ws_client_text(std::string_view payload) {
  return ws_frame(ws_final | ws_text, payload, "\x12\x9a\x56\xf0");
}

}  // namespace inferscope::test
