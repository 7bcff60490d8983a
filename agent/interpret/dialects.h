// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "interpret/dialect_definition.h"
#include "interpret/json.h"
#include "model/exchange.h"
#include "model/inference_call.h"

namespace inferscope::interpret {

/// A call being read: what is handed on, and what only the reading of the next piece needs.
struct Reading {
  InferenceCall call{};
  std::vector<std::uint64_t> tool_calls{};  ///< distinct calls of tools, by choice and index
  std::vector<std::uint64_t> evaluated{};   ///< the engine's own counts by choice: prompt tokens …
  std::vector<std::uint64_t> predicted{};   ///< … and generated tokens
  std::string asked{};                      ///< the last text of the prompt, or its end
  std::uint64_t event_tokens = 0;           ///< tokens that the content events said they carry …
  std::uint64_t counted_events = 0;         ///< … and how many of the events said so
};

/// A request to a path that ends so may be in the dialect.
struct PathRule {
  std::string_view path{};       ///< "/" and whole segments, of which "*" is any one; anything may stand before
  std::string_view operation{};  ///< gen_ai.operation.name
  bool marks_server = true;      ///< one of inference_paths(), up to its first "*"
};

/// How one API says things in JSON. The functions set what they find and leave the rest.
struct Dialect {
  std::string_view name{};
  std::span<const PathRule> paths{};
  /// False if this is no request of the dialect, whatever its path. Without it, requests have no body to read.
  std::function<bool(const Json& body, Reading& reading)> read_request{};
  /// A whole response that is no stream.
  std::function<void(const Json& body, Reading& reading)> read_response{};
  /// One message of a stream. True if it carried generated content.
  std::function<bool(const Json& message, Reading& reading)> read_message{};
  /// What the response's headers tell; not all have that.
  std::function<void(const Headers& headers, Reading& reading)> read_headers{};
  /// One message of a client that goes on talking, on a WebSocket; not all have that.
  std::function<void(const Json& message, Reading& reading)> read_client_message{};
  std::string_view provider{};       ///< where the API itself says whose server it is; empty: provider_of() tells
  std::string_view method = "POST";  ///< of its requests
  // Of an API whose messages are not JSON, instead of read_client_message() and read_message(). False and nullopt: it
  // is not what it should be.
  std::function<bool(std::string_view message, const Exchange& exchange, Reading& reading)> read_binary_request{};
  std::function<std::optional<bool>(std::string_view message, const Exchange& exchange, Reading& reading)>
      read_binary_response{};
};

struct DialectMatch {
  const Dialect* dialect = nullptr;
  std::string_view operation{};
};

/// By method and path, the first one after `before` in `dialects`; no dialect if it is none of the known inference
/// requests. Several APIs have the same paths: which one it is, their read_request() tells.
DialectMatch find_dialect(std::span<const Dialect* const> dialects, std::string_view method, std::string_view path,
                          const Dialect* before = nullptr);
/// In the order in which they are asked.
std::span<const Dialect* const> builtin_dialects();
/// What the configuration teaches. Every request to one of its paths is in it.
Dialect make_dialect(const DialectDefinition& definition);

extern const Dialect openai_dialect;
extern const Dialect responses_dialect;
extern const Dialect anthropic_dialect;
extern const Dialect ollama_dialect;
extern const Dialect kserve_dialect;
extern const Dialect llamacpp_dialect;
extern const Dialect tgi_dialect;
extern const Dialect sglang_dialect;
extern const Dialect realtime_dialect;
extern const Dialect kserve_grpc_dialect;

// What dialects have in common.
inline constexpr std::size_t choice_limit = 128;

/// "error" in any of its shapes, or a top-level {"object":"error"}; with `is_error`, `body` itself if it has neither.
/// True if there was one. Its type stays empty if it has none.
bool read_error(const Json& body, InferenceCall& call, bool is_error = false);
/// The same of a value that can only be an error: an object as above, or the error's type or code itself.
bool read_error_value(const Json& error, InferenceCall& call);
/// A status of gRPC that is none of success, in the response's headers or trailers. True if there was one.
bool read_grpc_status(const Headers& headers, InferenceCall& call);
/// llama.cpp's `timings`, in whichever API's response it stands.
void read_timings(const Json& timings, InferenceCall& call);
void set_finish_reason(InferenceCall& call, std::uint64_t choice, std::string_view reason);
/// counts[choice] = value, if there is one.
void set_count(std::vector<std::uint64_t>& counts, std::uint64_t choice, const Json* value);
/// A distinct call of a tool, by its place in the answer.
void note_tool_call(Reading& reading, std::uint64_t choice, std::uint64_t index);
/// The model, whether to stream, and tools, by the names that nearly all APIs have for them.
void read_common(const Json& body, InferenceCall::Request& request);
/// Whether to stream, where it is said.
void read_stream(const Json& body, InferenceCall::Request& request);
/// A response's id and model, each as it is said first.
void read_identity(const Json& message, InferenceCall::Response& response);
/// A member that is a count.
std::optional<std::uint64_t> count_member(const Json& object, std::string_view name);
/// Sampling parameters by the names that nearly all APIs have for them: temperature, top_p, top_k, seed, penalties.
void read_sampling(const Json& parameters, InferenceCall::Request& request);
/// Bytes of text in a prompt (string or list) or in messages (content strings and text parts).
std::uint64_t text_bytes(const Json& value);
/// The same of what a request asks, whose last text is kept in Reading::asked.
std::uint64_t read_prompt(const Json& value, Reading& reading);

}  // namespace inferscope::interpret
