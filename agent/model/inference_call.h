// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/time.h"
#include "model/exchange.h"

namespace inferscope {

/// What an exchange means in terms of inference. Absent is "not seen", never zero. No prompt or output text here.
struct InferenceCall {
  std::string dialect{};    ///< "openai", "llamacpp" …; empty: not an inference call (health check, metrics, …)
  std::string operation{};  ///< gen_ai.operation.name: "chat", "embeddings", "realtime" …; empty as above
  std::string provider{};   ///< gen_ai.provider.name

  /// A conversation of many responses, in which silence means that nobody asked for one.
  [[nodiscard]] bool is_session() const { return operation == "realtime"; }

  struct Request {
    std::optional<std::string> model{};
    std::optional<bool> stream{};
    std::optional<std::int64_t> max_tokens{};
    std::optional<double> temperature{};
    std::optional<double> top_p{};
    std::optional<std::int64_t> top_k{};
    std::optional<std::int64_t> choice_count{};
    std::optional<std::int64_t> seed{};
    std::optional<double> frequency_penalty{};
    std::optional<double> presence_penalty{};
    std::optional<std::uint64_t> message_count{};
    std::optional<std::uint64_t> tool_count{};
    std::optional<std::uint64_t> prompt_bytes{};  ///< text in prompt or messages, unescaped; images are none
    bool incomplete = false;                      ///< a hole or broken JSON: absent fields may have been there
    bool malformed = false;                       ///< seen as a whole, and not JSON: the client's mistake, nothing lost
  } request{};

  struct Response {
    std::optional<std::string> id{};
    std::optional<std::string> model{};
    std::vector<std::string> finish_reasons{};  ///< one per choice, in the order of the choices
    std::uint64_t tool_calls = 0;
    std::uint64_t content_events = 0;  ///< events that carried generated content
    bool incomplete = false;           ///< as in Request, or it ended early
  } response{};

  enum class CountSource : std::uint8_t { none, usage, engine, events };
  struct Usage {
    std::optional<std::uint64_t> input_tokens{};
    std::optional<std::uint64_t> output_tokens{};
    std::optional<std::uint64_t> cached_input_tokens{};
    std::optional<std::uint64_t> reasoning_tokens{};
    /// Where output_tokens is from: the API's usage object, the engine's own figures, or counted content events.
    CountSource source = CountSource::none;
  } usage{};

  /// The server's own account, where its dialect tells one (llama.cpp's `timings`), in milliseconds.
  struct EngineTimings {
    std::optional<double> prompt_ms{};
    std::optional<std::uint64_t> prompt_tokens{};
    std::optional<double> predicted_ms{};
    std::optional<std::uint64_t> predicted_tokens{};
    std::optional<std::uint64_t> cached_tokens{};
  };
  std::optional<EngineTimings> engine{};

  struct Failure {
    std::string type{};  ///< error.type: the API's type or code, else the HTTP status
    bool mid_stream = false;
  };
  std::optional<Failure> failure{};

  std::optional<Time> first_event{};  ///< first complete SSE event or NDJSON line that is not a comment or ping
  std::optional<Time> first_token{};  ///< first piece of generated content (text, reasoning or tool call)
  std::optional<Time> last_token{};
  std::vector<Time> token_times{};  ///< of every content event, bounded; more are counted in content_events
};

struct CallUpdate {
  enum class Kind : std::uint8_t {
    opened,   ///< request head seen
    request,  ///< request body understood
    token,    ///< one more content event
    closed,   ///< over; always the last update, exactly once for each opened
  };

  Kind kind{};
  const InferenceCall& call;
  const Exchange& exchange;
  Time time{};
  std::string_view asked{};  ///< with `request`: the last text of its prompt, or the end of that; valid during the call
};

}  // namespace inferscope
