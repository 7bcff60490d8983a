// stage: interpret
// SPDX-License-Identifier: Apache-2.0
// Plays the input as one exchange: the first byte picks the path, the second the way the reply comes; 0x1e separates
// the pieces, the first of which is the request's body. A piece that begins with 0x1f is a hole. The highest bit of
// the second byte makes the API one that is taught by configuration, that of the first a session on a WebSocket, in
// which pieces that begin with '?' are the client's.
#include <array>
#include <cstdint>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "interpret/interpreter.h"
#include "model/text.h"
#include "tests/support/exchange_script.h"

namespace {

using namespace inferscope;

void require(bool condition) {
  if (!condition) std::abort();
}
void require_clean(const std::optional<std::string>& text) {
  require(!text || is_clean_text(*text));
}

void check(const InferenceCall& call) {
  const auto& response = call.response;
  require(call.dialect.empty() == call.operation.empty());
  require(call.token_times.size() <= response.content_events);
  require(call.first_token.has_value() == (response.content_events != 0));
  require(call.last_token.has_value() == call.first_token.has_value());
  require(!call.first_token || (call.first_event && *call.first_event <= *call.first_token));
  require(!call.first_token || *call.first_token <= *call.last_token);
  require(response.finish_reasons.size() <= 128 && response.tool_calls <= 1024);
  require_clean(call.request.model);
  require_clean(response.id);
  require_clean(response.model);
  for (const std::string& reason : response.finish_reasons) require(is_clean_text(reason));
  if (call.failure) require(is_clean_text(call.failure->type, 64));
}

void check_closed(const InferenceCall& call) {
  check(call);
  using Source = InferenceCall::CountSource;
  require((call.usage.source == Source::none) == !call.usage.output_tokens.has_value());
  require(call.usage.source != Source::events || call.usage.output_tokens == call.response.content_events);
  if (call.failure) require(!call.failure->type.empty());
  if (call.dialect.empty()) require(!call.failure && call.response.content_events == 0);
}

std::vector<interpret::DialectDefinition> taught() {
  const auto at = [](const char* pointer) { return rapidjson::Pointer(pointer); };
  interpret::DialectDefinition dialect;
  dialect.name = dialect.provider = "taught";
  dialect.paths = {{"/taught/*", "chat"}};
  dialect.request = {.model = at("/model"),
                     .stream = at("/options/stream"),
                     .max_tokens = at("/options/limit"),
                     .temperature = at("/options/0"),
                     .prompt = at("/prompt")};
  dialect.response = {.id = at("/id"),
                      .model = at("/model"),
                      .input_tokens = at("/usage/in"),
                      .output_tokens = at("/usage/out"),
                      .cached_input_tokens = at("/usage/cached"),
                      .finish_reason = at("/results/0/stop"),
                      .content = at("/results/0/text"),
                      .error = at("/error")};
  dialect.message = dialect.response;
  dialect.message.content = at("");
  return {dialect};
}

std::string_view next_piece(std::string_view& text) {
  const std::size_t end = text.find('\x1e');
  const std::string_view piece = text.substr(0, end);
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  return piece;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  constexpr std::array<std::string_view, 16> targets{"/v1/chat/completions",
                                                     "/v1/completions",
                                                     "/v1/embeddings",
                                                     "/completion",
                                                     "/completions",
                                                     "/infill",
                                                     "/embeddings",
                                                     "/v1/models",
                                                     "/v1/responses",
                                                     "/v1/messages",
                                                     "/api/chat",
                                                     "/api/generate",
                                                     "/generate",
                                                     "/v1/rerank",
                                                     "/generate_stream",
                                                     "/v2/models/m/generate"};
  constexpr std::array statuses{200, 400, 503, 0};
  constexpr std::array endings{Exchange::Ending::complete, Exchange::Ending::client_closed,
                               Exchange::Ending::lost_track, Exchange::Ending::server_closed};
  const unsigned way = data[1];
  const std::string_view target = (way & 128U) != 0 ? "/taught/x" : targets[data[0] % targets.size()];
  std::string_view text(reinterpret_cast<const char*>(data) + 2, size - 2);

  interpret::Interpreter interpreter(
      {.body_head_bytes = 128, .body_tail_bytes = 64, .held_bytes = 512, .open_calls = 4, .token_times = 8}, taught());
  int opened = 0;
  int closed = 0;
  test::ExchangeScript script([&](const ExchangeUpdate& update) {
    interpreter.on(update, [&](const CallUpdate& call) {
      require(closed == 0 && (opened == 1) == (call.kind != CallUpdate::Kind::opened));
      opened += call.kind == CallUpdate::Kind::opened ? 1 : 0;
      closed += call.kind == CallUpdate::Kind::closed ? 1 : 0;
      closed == 0 ? check(call.call) : check_closed(call.call);
    });
    require(interpreter.stats().balanced());
  });
  const bool session = (data[0] & 128U) != 0;
  script.request_head(session ? "GET" : "POST", session ? "/v1/realtime" : target);
  std::string_view request = next_piece(text);
  while (!request.empty()) {
    const std::size_t hole = request.find('\x1f');
    script.request_body(request.substr(0, hole));
    if (hole == std::string_view::npos) break;
    script.request_hole(1);
    request.remove_prefix(hole + 1);
  }
  if ((way & 1U) == 0) script.request_end();
  const int status = statuses[(way >> 1U) % statuses.size()];
  if (status != 0) {
    const bool stream = (way & 8U) != 0;
    script.response_head(status, stream ? "text/event-stream" : "application/json");
    while (!text.empty()) {
      const std::string_view piece = next_piece(text);
      script.now += std::chrono::milliseconds(1);
      if (piece.starts_with('\x1f'))
        script.response_hole(1);
      else if (session && piece.starts_with('?'))
        script.client_message(piece.substr(1));
      else if (stream)
        piece.starts_with('!') ? script.message(piece.substr(1), "error") : script.message(piece);
      else
        script.response_body(piece);
    }
    if ((way & 16U) == 0) script.response_end();
  }
  script.close(endings[(way >> 5U) % endings.size()]);
  require(opened == 1 && closed == 1 && interpreter.stats().out == 1);
  return 0;
}
