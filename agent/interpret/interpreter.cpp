// SPDX-License-Identifier: Apache-2.0
#include "interpret/interpreter.h"

#include <algorithm>
#include <iterator>
#include <numeric>
#include <string>
#include <unordered_map>
#include <utility>

#include "interpret/body.h"
#include "interpret/dialects.h"
#include "interpret/json.h"
#include "interpret/json_repair.h"
#include "interpret/provider.h"

namespace inferscope::interpret {
namespace {

using Kind = ExchangeUpdate::Kind;

struct Key {
  ConnectionId connection = 0;
  std::uint64_t sequence = 0;
  bool operator==(const Key&) const = default;
};
struct KeyHash {
  std::size_t operator()(const Key& key) const {
    return static_cast<std::size_t>((key.connection * 0x9e3779b97f4a7c15U) ^ (key.sequence * 0xc2b2ae3d27d4eb4fU));
  }
};

struct Open {
  Reading reading{};
  const Dialect* dialect = nullptr;
  Body request{};
  Body response{};
  bool request_read = false;
  bool response_read = false;
  bool keep_response = false;  ///< the response is JSON, or may be
};

bool is_json_type(std::string_view content_type) {
  return content_type.find("json") != std::string_view::npos;
}

bool begins_object(std::string_view text) {
  const std::size_t first = text.find_first_not_of(" \t\r\n");
  return first != std::string_view::npos && text[first] == '{';
}

std::string_view without_space(std::string_view text) {
  while (!text.empty() && (text.back() == ' ' || text.back() == '\r' || text.back() == '\n')) text.remove_suffix(1);
  while (!text.empty() && (text.front() == ' ' || text.front() == '\r' || text.front() == '\n')) text.remove_prefix(1);
  return text;
}

std::optional<std::uint64_t> sum(const std::vector<std::uint64_t>& counts) {
  if (counts.empty()) return std::nullopt;
  return std::accumulate(counts.begin(), counts.end(), std::uint64_t{0});
}

/// Where the API's usage says nothing, the engine's own figures; where these are missing too, counted events.
void complete_usage(Reading& reading) {
  InferenceCall& call = reading.call;
  auto& usage = call.usage;
  const auto* engine = call.engine ? &*call.engine : nullptr;
  if (!usage.input_tokens) {
    usage.input_tokens = sum(reading.evaluated);
    if (!usage.input_tokens && engine != nullptr && engine->prompt_tokens && engine->cached_tokens)
      usage.input_tokens = *engine->prompt_tokens + *engine->cached_tokens;
  }
  if (!usage.cached_input_tokens && engine != nullptr) usage.cached_input_tokens = engine->cached_tokens;

  // A stream that broke off may have had a usage of 0 with every chunk.
  const std::uint64_t events = call.response.content_events;
  if (usage.output_tokens && (*usage.output_tokens != 0 || events == 0)) return;
  usage.source = InferenceCall::CountSource::engine;
  usage.output_tokens = sum(reading.predicted);
  if (!usage.output_tokens && engine != nullptr) usage.output_tokens = engine->predicted_tokens;
  if (!usage.output_tokens && events != 0 && reading.counted_events == events)
    usage.output_tokens = reading.event_tokens;
  if (usage.output_tokens) return;
  usage.source = InferenceCall::CountSource::none;
  if (events == 0) return;
  usage.output_tokens = events;
  usage.source = InferenceCall::CountSource::events;
}

}  // namespace

class Interpreter::Impl {
 public:
  Impl(const Limits& limits, const std::vector<DialectDefinition>& taught) : limits_(limits) {
    std::transform(taught.begin(), taught.end(), std::back_inserter(taught_), make_dialect);
    for (const Dialect& dialect : taught_) dialects_.push_back(&dialect);
    const auto builtin = builtin_dialects();
    dialects_.insert(dialects_.end(), builtin.begin(), builtin.end());
  }

  void on(const ExchangeUpdate& update, const Emit<CallUpdate>& emit) {
    const Key key{update.exchange.connection ? update.exchange.connection->id : 0, update.exchange.sequence};
    auto found = open_.find(key);
    if (found == open_.end()) {
      // Past its request head, an exchange that is not in the table had no place in it. One without a request line is
      // new: its beginning was not seen.
      const bool begins = update.kind == Kind::request_head || update.exchange.request.method.empty();
      if (!begins || open_.size() >= limits_.open_calls) {
        if (update.kind == Kind::closed) {
          ++stats_.in;
          stats_.drop("open call limit", 1);
        }
        return;
      }
      ++stats_.in;
      found = open_.emplace(key, Open{}).first;
      use_next_dialect(found->second, update.exchange);
      emit({CallUpdate::Kind::opened, found->second.reading.call, update.exchange, update.time});
    }
    Open& open = found->second;
    if (open.dialect != nullptr) {
      read(open, update, emit);
    } else if (update.kind == Kind::request_end && !std::exchange(open.request_read, true)) {
      emit({CallUpdate::Kind::request, open.reading.call, update.exchange, update.time});
    }
    if (update.kind != Kind::closed) return;
    emit({CallUpdate::Kind::closed, open.reading.call, update.exchange, update.time});
    ++stats_.out;
    held_token_times_ -= open.reading.call.token_times.size();
    open_.erase(found);
  }

  [[nodiscard]] StageStats stats() const {
    StageStats stats = stats_;
    stats.held = open_.size();
    return stats;
  }
  [[nodiscard]] const Counters& counters() const { return counters_; }

 private:
  /// The first one that the path allows, or the one after the present.
  void use_next_dialect(Open& open, const Exchange& exchange) const {
    const auto match = find_dialect(dialects_, exchange.request.method, exchange.path(), open.dialect);
    open.dialect = match.dialect;
    open.reading = Reading{};
    if (match.dialect == nullptr) return;
    open.reading.call.dialect = match.dialect->name;
    open.reading.call.operation = match.operation;
    set_provider(open, exchange);
  }

  static void set_provider(Open& open, const Exchange& exchange) {
    InferenceCall& call = open.reading.call;
    const std::string_view own = open.dialect->provider;
    call.provider = !own.empty() ? own
                                 : provider_of(call.dialect, find_header(exchange.response.headers, "server"),
                                               find_header(exchange.request.headers, "host"), call.engine.has_value());
  }

  void read(Open& open, const ExchangeUpdate& update, const Emit<CallUpdate>& emit) {
    switch (update.kind) {
      case Kind::request_head:
        break;
      case Kind::request_body:
        add(open.request, update.data);
        break;
      case Kind::request_hole:
        open.reading.call.request.incomplete = true;
        open.request.hole();
        break;
      case Kind::request_message:
        read_client_message(open, update);
        break;
      case Kind::request_end:
        if (open.request_read) break;
        finish_request(open, update.exchange);
        emit({CallUpdate::Kind::request, open.reading.call, update.exchange, update.time, open.reading.asked});
        std::string().swap(open.reading.asked);
        break;
      case Kind::response_head:
        open.keep_response = is_json_type(find_header(update.exchange.response.headers, "content-type"));
        set_provider(open, update.exchange);
        if (open.dialect->read_headers) open.dialect->read_headers(update.exchange.response.headers, open.reading);
        break;
      case Kind::response_body:
        if (open.response.empty() && !open.response_read)
          open.keep_response = open.keep_response || begins_object(update.data);
        if (open.keep_response) add(open.response, update.data);
        break;
      case Kind::response_hole:
        open.reading.call.response.incomplete = true;
        open.response.hole();
        break;
      case Kind::response_message:
        read_message(open, update, emit);
        break;
      case Kind::response_end:
        finish_response(open, true);
        break;
      case Kind::closed:
        finish(open, update.exchange);
        break;
    }
  }

  void add(Body& body, std::string_view data) {
    if (held_bytes_ + data.size() > limits_.held_bytes) {
      ++counters_.bodies_cut;
      held_bytes_ -= body.bytes();
      body.hole();
      held_bytes_ += body.bytes();
      return;
    }
    held_bytes_ -= body.bytes();
    body.add(data, limits_.body_head_bytes, limits_.body_tail_bytes);
    held_bytes_ += body.bytes();
  }

  void release(Body& body) {
    held_bytes_ -= body.bytes();
    body.clear();
  }

  /// Hands every part of a body that can be read as JSON to `read`. False if any of the body is missing or broken.
  template <class Read>
  bool read_body(const Body& body, bool has_end, Read&& read) {
    const std::string_view tail = body.tail(limits_.body_tail_bytes);
    std::string_view head = body.head();
    if (body.whole()) {
      std::string joined;
      if (!tail.empty()) {
        joined.reserve(head.size() + tail.size());
        joined.append(head).append(tail);
        head = joined;
      }
      if (const Json* json = json_.parse(head)) {
        read(*json);
        return true;
      }
      ++counters_.broken_bodies;
      read_repaired(repair_head(head.substr(0, json_.error_offset())), read);
      return false;
    }
    read_repaired(repair_head(head), read);
    if (has_end) read_repaired(repair_tail(tail), read);
    return false;
  }

  template <class Read>
  void read_repaired(const std::optional<std::string>& text, Read&& read) {
    if (!text) return;
    if (const Json* json = json_.parse(*text)) read(*json);
  }

  /// Only a body that is there as a whole can show that it is none of a dialect.
  void finish_request(Open& open, const Exchange& exchange) {
    open.request_read = true;
    if (!open.dialect->read_request) return release(open.request);
    const bool has_end = exchange.request.end.has_value();
    bool recognised = true;
    bool whole = false;
    do {
      if (!recognised) {
        held_token_times_ -= open.reading.call.token_times.size();
        use_next_dialect(open, exchange);
        recognised = true;
        if (open.dialect == nullptr) break;
      }
      whole = read_body(open.request, has_end,
                        [&](const Json& json) { recognised = open.dialect->read_request(json, open.reading); });
    } while (whole && !recognised);
    if (open.dialect != nullptr) {
      open.reading.call.request.incomplete = !whole || !has_end;
      open.reading.call.request.malformed = !whole && has_end && open.request.whole();
    } else {
      release(open.response);
    }
    release(open.request);
  }

  void finish_response(Open& open, bool has_end) {
    if (open.response_read) return;
    open.response_read = true;
    if (open.keep_response && (!open.response.empty() || !open.response.whole())) {
      const bool whole =
          read_body(open.response, has_end, [&](const Json& json) { open.dialect->read_response(json, open.reading); });
      if (!whole) open.reading.call.response.incomplete = true;
    }
    release(open.response);
  }

  void read_client_message(Open& open, const ExchangeUpdate& update) {
    if (const auto& read = open.dialect->read_binary_request) {
      if (read(update.data, update.exchange, open.reading)) return;
      ++counters_.broken_bodies;
      open.reading.call.request.malformed = true;
      return;
    }
    if (!open.dialect->read_client_message) return;
    if (const Json* json = json_.parse(update.data)) {
      open.dialect->read_client_message(*json, open.reading);
    } else {
      ++counters_.broken_bodies;
    }
  }

  /// Whether it carried content; nullopt if it is broken.
  std::optional<bool> read_json_message(Open& open, std::string_view name, std::string_view data) {
    InferenceCall& call = open.reading.call;
    const Json* json = json_.parse(data);
    if (json == nullptr && name != "error") return std::nullopt;
    const bool content = json != nullptr && open.dialect->read_message(*json, open.reading);
    // The event's name says what its JSON may not.
    if (name != "error" || call.failure) return content;
    if (json != nullptr) {
      read_error(*json, call, true);
    } else {
      ++counters_.broken_bodies;
      call.failure = InferenceCall::Failure{};
    }
    return content;
  }

  void read_message(Open& open, const ExchangeUpdate& update, const Emit<CallUpdate>& emit) {
    InferenceCall& call = open.reading.call;
    const bool binary = static_cast<bool>(open.dialect->read_binary_response);
    const std::string_view data = binary ? update.data : without_space(update.data);
    if (!binary && (update.name == "ping" || data.empty() || data == "[DONE]")) return;
    if (!call.first_event) call.first_event = update.time;
    const bool failed_before = call.failure.has_value();
    const auto read = binary ? open.dialect->read_binary_response(data, update.exchange, open.reading)
                             : read_json_message(open, update.name, data);
    if (!read) {
      ++counters_.broken_bodies;
      call.response.incomplete = true;
    }
    const bool content = read.value_or(false);
    if (call.failure && !failed_before) call.failure->mid_stream = update.exchange.response.status < 400;
    if (!content) return;

    ++call.response.content_events;
    if (!call.first_token) call.first_token = update.time;
    call.last_token = update.time;
    if (call.token_times.size() < limits_.token_times && held_token_times_ < limits_.held_token_times) {
      call.token_times.push_back(update.time);
      ++held_token_times_;
    } else {
      ++counters_.token_times_cut;
    }
    emit({CallUpdate::Kind::token, call, update.exchange, update.time});
  }

  void finish(Open& open, const Exchange& exchange) {
    if (!open.request_read) finish_request(open, exchange);
    if (open.dialect == nullptr) return;
    finish_response(open, exchange.response.end.has_value());
    InferenceCall& call = open.reading.call;
    const int status = exchange.response.status;
    if (!call.failure) read_grpc_status(exchange.response.headers, call);
    if (!call.failure && status >= 400) call.failure = InferenceCall::Failure{};
    if (call.failure && call.failure->type.empty())
      call.failure->type = status >= 400 ? std::to_string(status) : "_OTHER";
    complete_usage(open.reading);
    set_provider(open, exchange);
  }

  Limits limits_;
  std::vector<Dialect> taught_{};
  std::vector<const Dialect*> dialects_{};
  JsonReader json_{};
  std::unordered_map<Key, Open, KeyHash> open_{};
  std::size_t held_bytes_ = 0;
  std::size_t held_token_times_ = 0;
  StageStats stats_{};
  Counters counters_{};
};

Interpreter::Interpreter(Limits limits, const std::vector<DialectDefinition>& taught)
    : impl_(std::make_unique<Impl>(limits, taught)) {}
Interpreter::~Interpreter() = default;
Interpreter::Interpreter(Interpreter&&) noexcept = default;
Interpreter& Interpreter::operator=(Interpreter&&) noexcept = default;

void Interpreter::on(const ExchangeUpdate& update, const Emit<CallUpdate>& emit) {
  impl_->on(update, emit);
}
StageStats Interpreter::stats() const {
  return impl_->stats();
}
Counters Interpreter::counters() const {
  return impl_->counters();
}

}  // namespace inferscope::interpret
