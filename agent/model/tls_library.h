// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/connection.h"

namespace inferscope {

/// What a function of a TLS library does, and so how its arguments are read. The first is always the session.
enum class TlsFunction : std::uint8_t {
  inner,     ///< moves no plaintext, but bytes of the connection: handshakes, looks ahead, closing
  read,      ///< (session, buffer, size) → bytes read
  write,     ///< (session, buffer, size) → bytes written
  read_ex,   ///< (session, buffer, size, size_t* moved) → 1 if any
  write_ex,  ///< the same
  free,      ///< the session ends
};

/// Where a probe goes.
struct TlsProbe {
  TlsFunction function{};
  std::string symbol{};
  std::uint64_t offset = 0;  ///< in the file, of an instruction at which all arguments are still in place
};

/// A TLS library as a process maps it.
struct TlsLibrary {
  Pid pid = 0;
  std::string name{};  ///< of the file, without folder
  std::string path{};  ///< where the file can be opened, also if it was replaced, deleted, or is in another root
  std::vector<TlsProbe> probes{};
  std::string problem{};  ///< why there are no probes; empty if there are
};

}  // namespace inferscope
