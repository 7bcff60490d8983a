// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "interpret/interpreter.h"
#include "tests/support/exchange_script.h"

namespace inferscope::interpret {

/// An interpreter and what came out of it.
struct RecordedCalls {
  Interpreter interpreter;
  std::vector<CallUpdate::Kind> kinds{};
  std::vector<Time> times{};
  std::vector<InferenceCall> closed{};
  std::string asked{};  ///< of the last request

  explicit RecordedCalls(Limits limits = {}, const std::vector<DialectDefinition>& taught = {})
      : interpreter(limits, taught) {}

  test::ExchangeScript::Sink sink() {
    return [this](const ExchangeUpdate& update) {
      interpreter.on(update, [this](const CallUpdate& call) {
        kinds.push_back(call.kind);
        times.push_back(call.time);
        if (call.kind == CallUpdate::Kind::request) asked = call.asked;
        if (call.kind == CallUpdate::Kind::closed) closed.push_back(call.call);
      });
    };
  }
  test::ExchangeScript script(std::uint64_t sequence = 0) {
    return test::ExchangeScript(sink(), default_connection(), sequence);
  }
  [[nodiscard]] const InferenceCall& call() const { return closed.at(0); }

  static Connection default_connection() {
    return test::tcp_connection(1, 100, Role::server, {Family::ipv4, "127.0.0.1", 8080},
                                {Family::ipv4, "127.0.0.1", 50000});
  }
};

/// A chunk as llama-server and vLLM send it, around the given choices.
inline std::string chunk(std::string_view choices, std::string_view more = "") {
  std::string text = R"({"choices":[)";
  text.append(choices).append(
      R"(],"created":1761,"id":"chatcmpl-abc","model":"tiny","system_fingerprint":"b1-x","object":"chat.completion.chunk")");
  return text.append(more).append("}");
}
inline std::string delta(std::string_view fields, int index = 0, std::string_view finish = "null") {
  return R"({"finish_reason":)" + std::string(finish) + R"(,"index":)" + std::to_string(index) + R"(,"delta":{)" +
         std::string(fields) + "}}";
}

}  // namespace inferscope::interpret
