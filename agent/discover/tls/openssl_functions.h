// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "discover/code/code_facts.h"
#include "discover/elf/unwind_table.h"
#include "model/tls_library.h"

namespace inferscope::discover {

/// Functions of OpenSSL by what they tell of themselves when they report an error: the name of their source file with
/// their own name (3.x) or their own number (1.1.1).
enum class OpenSslPart : std::uint8_t {
  read,
  read_internal,
  write,
  write_internal,
  peek,
  peek_internal,
  handshake,
  session_new,
  connection_new
};

/// How code tells one of them.
struct OpenSslName {
  OpenSslPart part{};
  std::string_view text{};                ///< with the zero at its end
  std::optional<std::uint64_t> number{};  ///< in 1.1.1, if it has one there
};
/// One for each function.
const std::vector<OpenSslName>& openssl_names();

/// A piece of code, and which function's name it tells. A function may have told its name in a part that lies
/// elsewhere.
struct OpenSslPiece {
  CodePiece piece{};
  CodeFacts facts{};
  bool in_source = false;  ///< it tells the name of the source file
  std::set<OpenSslPart> parts{};
  bool joined = false;  ///< it is a part of another one, which tells what it tells
};
using OpenSslPieces = std::map<std::uint64_t, OpenSslPiece>;  ///< by the address where they begin

/// Where texts are that code refers to.
struct OpenSslTexts {
  std::vector<AddressRange> file_names{};  ///< a name may begin anywhere in them
  std::map<std::uint64_t, OpenSslPart> names{};
};
OpenSslPiece openssl_piece(const CodePiece& piece, CodeFacts facts, const OpenSslTexts& texts);

/// Code whose callers, and what jumps into it, have to be among the pieces before anything can be proven.
std::vector<AddressRange> openssl_callees(const OpenSslPieces& pieces);

/// What is a part of a function that lies elsewhere is joined with it.
void join_pieces(OpenSslPieces& pieces);

struct OpenSslFunction {
  std::string symbol{};
  TlsFunction function{};
  AddressRange range{};
};
/// Functions that are proven. Empty, with a problem, if one is missing without which what is seen would be wrong or
/// only a part.
struct OpenSslFunctions {
  std::vector<OpenSslFunction> functions{};
  std::string problem{};
};
OpenSslFunctions prove_openssl(const OpenSslPieces& pieces);

}  // namespace inferscope::discover
