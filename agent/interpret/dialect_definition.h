// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <rapidjson/pointer.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace inferscope::interpret {

/// An API that the configuration teaches: where in its JSON stands what. Its pointers are valid; where one leads
/// nowhere, or to a value of another type, nothing is read.
struct DialectDefinition {
  using Pointer = std::optional<rapidjson::Pointer>;  ///< RFC 6901; none: the API does not tell it

  struct Path {
    std::string path{};  ///< as in PathRule
    std::string operation{};
  };
  struct Request {
    Pointer model{};
    Pointer stream{};
    Pointer max_tokens{};
    Pointer temperature{};
    Pointer prompt{};
  };
  struct Response {
    Pointer id{};
    Pointer model{};
    Pointer input_tokens{};
    Pointer output_tokens{};
    Pointer cached_input_tokens{};
    Pointer finish_reason{};
    Pointer content{};
    Pointer error{};
  };

  std::string name{};      ///< none of a built-in dialect
  std::string provider{};  ///< gen_ai.provider.name
  std::vector<Path> paths{};
  Request request{};
  Response response{};  ///< a whole one, which is no stream
  Response message{};   ///< one message of a stream
};

bool is_builtin_dialect(std::string_view name);

}  // namespace inferscope::interpret
