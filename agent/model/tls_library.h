// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/connection.h"
#include "model/probe_place.h"

namespace inferscope {

/// What a function of a TLS library does, and so how its arguments are read. The first is always the session.
enum class TlsFunction : std::uint8_t {
  inner,      ///< moves no plaintext, but bytes of the connection: handshakes
  read,       ///< (session, buffer, size) → bytes read
  write,      ///< (session, buffer, size) → bytes written
  read_ex,    ///< (session, buffer, size, size_t* moved) → 1 if any
  write_ex,   ///< the same
  free,       ///< the session ends
  write_ex2,  ///< (session, buffer, size, flags, size_t* moved) → 1 if any
  sendfile,   ///< (session, file, …) → bytes of the file written; they never are in user memory
};

/// How a function is called.
enum class Calling : std::uint8_t {
  c,             ///< as the psABI says
  go_registers,  ///< Go 1.17 and later
  go_stack,      ///< Go before
};

/// Where the probes of a function go.
struct TlsProbe {
  TlsFunction function{};
  Calling calling = Calling::c;
  std::string symbol{};
  FunctionPlaces places{};  ///< of Go, there are no return probes, and exits are all its returns
};

/// A file with a TLS library in it, as a process maps it: the shared library, or what it was linked into.
struct TlsLibrary {
  Pid pid = 0;
  std::string name{};       ///< of the file, without folder
  std::string path{};       ///< where the file can be opened, also if it was replaced, deleted, or is in another root
  bool executable = false;  ///< it is the program that the process runs
  std::string evidence{};   ///< the section that tells of it: ".dynsym", ".symtab" and ".gopclntab" name functions,
                            ///< ".rodata" shows that there is TLS without names, ".rodata, .eh_frame" show which
                            ///< functions it is; empty: the file could not be read
  std::vector<TlsProbe> probes{};
  std::string problem{};  ///< why there are no probes; empty if there are
};

/// "libssl.so.3 (.dynsym)", "node (executable, .symtab)"
std::string describe(const TlsLibrary& library);

}  // namespace inferscope
