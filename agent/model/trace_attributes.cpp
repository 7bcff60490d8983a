// SPDX-License-Identifier: Apache-2.0
#include "model/trace_attributes.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <cmath>
#include <concepts>
#include <cstdlib>
#include <ctime>
#include <limits>
#include <optional>
#include <utility>

#include "model/attribute_writer.h"
#include "model/attributes.h"
#include "model/text.h"
#include "model/time_math.h"

namespace inferscope {
namespace {

using Writer = AttributeWriter;

const Endpoint& server_end(const RequestTrace& trace) {
  return trace.role == Role::client ? trace.connection.remote : trace.connection.local;
}
const Endpoint& client_end(const RequestTrace& trace) {
  return trace.role == Role::client ? trace.connection.local : trace.connection.remote;
}

/// ISO 8601. The start is told since boot, suspensions included, and the kernel's clock is without them: on a host that
/// slept this is off by that time, but the same for all traces of the process.
std::string creation_time(const RequestTrace& trace) {
  const std::int64_t unix_ns = trace.unix_ns(time_from_ns(trace.process.start_time_ns));
  const std::time_t seconds = unix_ns / 1'000'000'000;
  std::tm utc{};
  gmtime_r(&seconds, &utc);
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03}Z", utc, std::abs(unix_ns / 1'000'000 % 1000));
}

void write_process(const RequestTrace& trace, Writer out) {
  const ProcessIdentity& process = trace.process;
  if (process.pid != 0) out.number(attribute::process_pid, process.pid);
  if (process.start_time_ns != 0) out.text(attribute::process_creation_time, creation_time(trace));
  // comm names threads as they like; the file's name is what the convention asks for.
  const std::string_view path = process.executable;
  const std::string_view file = path.substr(path.rfind('/') + 1);
  out.text(attribute::process_executable_name, file.empty() ? std::string_view(process.name) : file);
  out.text(attribute::process_executable_path, path);
  // The first word only: the others may hold keys.
  out.text(attribute::process_command,
           std::string_view(process.command_line).substr(0, process.command_line.find(' ')));
}

void write_http(const RequestTrace& trace, Writer out) {
  const Exchange& exchange = trace.exchange;
  out.text(attribute::http_request_method, exchange.request.method);
  out.text(attribute::url_scheme, exchange.encrypted ? "https" : "http");
  out.text(attribute::url_path, exchange.path());
  if (exchange.response.status != 0) out.number(attribute::http_response_status_code, exchange.response.status);
  out.text(attribute::network_protocol_name, exchange.protocol);
  out.text(attribute::network_protocol_version, exchange.version);
  const Family family = trace.connection.local.family;
  if (family != Family::unknown) out.text(attribute::network_transport, family == Family::unix_stream ? "unix" : "tcp");
  out.endpoint(attribute::server_address, attribute::server_port, server_end(trace));
  out.endpoint(attribute::client_address, attribute::client_port, client_end(trace));
  out.endpoint(attribute::network_peer_address, attribute::network_peer_port, trace.connection.remote);
  out.text(attribute::user_agent_original, find_header(exchange.request.headers, "user-agent"));
  if (exchange.request.end) out.number(attribute::http_request_body_size, exchange.request.body_bytes);
  if (exchange.response.end) out.number(attribute::http_response_body_size, exchange.response.body_bytes);
  out.text(attribute::error_type, error_type(trace));
  if (trace.tid != 0) out.number(attribute::thread_id, trace.tid);

  if (trace.role != Role::unknown) out.text(attribute::role, name_of(trace.role));
  out.text(attribute::outcome, name_of(trace.outcome));
  out.flag(attribute::complete, trace.complete);
  out.text(attribute::lost, trace.lost, 1024);
  out.texts(attribute::finding_ids, trace.findings);
  out.seconds(attribute::time_to_first_byte, trace.time_to_first_byte);
}

void write_request(const InferenceCall::Request& request, Writer out) {
  out.optional(attribute::gen_ai_request_model, request.model);
  out.optional(attribute::gen_ai_request_stream, request.stream);
  out.optional(attribute::gen_ai_request_max_tokens, request.max_tokens);
  out.optional(attribute::gen_ai_request_temperature, request.temperature);
  out.optional(attribute::gen_ai_request_top_p, request.top_p);
  out.optional(attribute::gen_ai_request_top_k, request.top_k);
  // The convention: only if it is not 1.
  if (request.choice_count && *request.choice_count != 1)
    out.number(attribute::gen_ai_request_choice_count, *request.choice_count);
  out.optional(attribute::gen_ai_request_seed, request.seed);
  out.optional(attribute::gen_ai_request_frequency_penalty, request.frequency_penalty);
  out.optional(attribute::gen_ai_request_presence_penalty, request.presence_penalty);
  out.optional(attribute::request_messages, request.message_count);
  out.optional(attribute::request_tools, request.tool_count);
  out.optional(attribute::request_prompt_bytes, request.prompt_bytes);
}

void write_response(const InferenceCall& call, Writer out) {
  out.optional(attribute::gen_ai_response_id, call.response.id);
  out.optional(attribute::gen_ai_response_model, call.response.model);
  out.texts(attribute::gen_ai_response_finish_reasons, call.response.finish_reasons);
  if (call.response.tool_calls != 0) out.number(attribute::tool_calls, call.response.tool_calls);
  if (call.response.content_events != 0) out.number(attribute::content_events, call.response.content_events);
  out.optional(attribute::gen_ai_usage_input_tokens, call.usage.input_tokens);
  out.optional(attribute::gen_ai_usage_output_tokens, call.usage.output_tokens);
  out.optional(attribute::gen_ai_usage_cache_read_input_tokens, call.usage.cached_input_tokens);
  out.optional(attribute::gen_ai_usage_reasoning_output_tokens, call.usage.reasoning_tokens);
  if (call.usage.source != InferenceCall::CountSource::none)
    out.text(attribute::token_count_source, name_of(call.usage.source));
  if (!call.engine) return;
  out.optional(attribute::engine_prompt_ms, call.engine->prompt_ms);
  out.optional(attribute::engine_prompt_tokens, call.engine->prompt_tokens);
  out.optional(attribute::engine_predicted_ms, call.engine->predicted_ms);
  out.optional(attribute::engine_predicted_tokens, call.engine->predicted_tokens);
  out.optional(attribute::engine_cached_tokens, call.engine->cached_tokens);
}

void write_phases(const RequestTrace& trace, Writer out) {
  const auto since_begin = [&trace](const std::optional<Time>& time) {
    return time ? std::optional<Duration>(elapsed(trace.begin, *time)) : std::nullopt;
  };
  const RequestTrace::Phases phases = trace.phases();
  out.seconds(attribute::queue_time, phases.queue());
  out.seconds(attribute::prefill_time, phases.prefill());
  out.seconds(attribute::decode_time, phases.decode());
  out.seconds(attribute::engine_queued, since_begin(phases.queued));
  out.seconds(attribute::engine_scheduled, since_begin(phases.started));
  out.seconds(attribute::engine_first_token, since_begin(phases.first_token));
  out.seconds(attribute::engine_last_token, since_begin(phases.last_token));
}

/// One list for each property of all, which is how attributes can hold them.
template <class All, class Property>
std::vector<double> numbers_of(const All& all, Property property) {
  std::vector<double> numbers;
  for (const auto& one : all) numbers.push_back(property(one));
  return numbers;
}
template <class All, class Property>
std::vector<std::string> texts_of(const All& all, Property property) {
  std::vector<std::string> texts;
  for (const auto& one : all) texts.emplace_back(property(one));
  return texts;
}

void write_explanation(const RequestTrace& trace, Writer out) {
  if (!trace.explanation || trace.explanation->parts.empty()) return;
  const Explanation& told = *trace.explanation;
  const auto since_begin = [&trace](Time time) { return to_seconds(elapsed(trace.begin, time)); };
  const auto kind = [](const auto& one) { return name_of(one.kind); };
  out.text(attribute::explanation, describe(told), 1024);
  if (const TimePart* cause = told.cause()) {
    out.text(attribute::cause_kind, name_of(cause->kind));
    out.text(attribute::cause_text, describe(*cause));
  }
  out.seconds(attribute::gpu_time, told.gpu_time);
  if (told.gpu_time) out.text(attribute::gpu_attribution, told.shared ? "shared" : "exclusive");
  if (told.probes >= ProbeLevel::Level::waits) out.text(attribute::probe_level, name_of(told.probes));
  if (!told.threads) out.text(attribute::probe_level_threads, "off");
  if (!told.complete) out.flag(attribute::explanation_complete, false);
  out.seconds(attribute::cpu_time, told.cpu_time);
  out.seconds(attribute::run_queue_delay, told.run_queue_delay);
  out.texts(attribute::part_kinds, texts_of(told.parts, kind));
  out.numbers(attribute::part_times, numbers_of(told.parts, [](const auto& one) { return to_seconds(one.time); }));
  out.texts(attribute::part_texts, texts_of(told.parts, [](const auto& one) { return describe(one); }));
  if (!trace.engine) out.number(attribute::engine_steps, told.steps_total);
  out.texts(attribute::step_kinds, texts_of(told.steps, kind));
  out.numbers(attribute::step_begins, numbers_of(told.steps, [&](const auto& one) { return since_begin(one.begin); }));
  out.numbers(attribute::step_ends, numbers_of(told.steps, [&](const auto& one) { return since_begin(one.end); }));
  out.numbers(attribute::step_members, numbers_of(told.steps, [](const auto& one) { return double{1} * one.members; }));
  if (told.gpu_time)
    out.numbers(attribute::step_gpu_times, numbers_of(told.steps, [](const auto& one) { return to_seconds(one.gpu); }));
  out.texts(attribute::delay_kinds, texts_of(told.marks, kind));
  out.numbers(attribute::delay_begins, numbers_of(told.marks, [&](const auto& one) { return since_begin(one.begin); }));
  out.numbers(attribute::delay_ends, numbers_of(told.marks, [&](const auto& one) { return since_begin(one.end); }));
  out.texts(attribute::delay_texts, texts_of(told.marks, [](const auto& one) { return describe(one); }));
}

/// The engine's own counts stand under the names that its API's figures have, where that told none.
void write_engine(const RequestTrace& trace, Writer out) {
  if (!trace.engine) return;
  const EngineTimes& engine = *trace.engine;
  out.text(attribute::engine_name, engine.engine);
  out.text(attribute::engine_request_id, engine.request_id);
  out.number(attribute::engine_requests, engine.requests);
  out.flag(attribute::engine_complete, engine.complete);
  out.number(attribute::engine_preemptions, engine.preemptions);
  std::vector<double> preempted;
  for (const Time time : engine.preempted) preempted.push_back(to_seconds(elapsed(trace.begin, time)));
  out.numbers(attribute::engine_preempted, std::move(preempted));
  out.number(attribute::engine_steps, engine.steps);
  if (engine.steps > 0) {
    out.number(attribute::engine_batch_mean, static_cast<double>(engine.batch_sum) / static_cast<double>(engine.steps));
    out.number(attribute::engine_batch_max, engine.batch_max);
  }
  out.optional(attribute::engine_waiting_max, engine.waiting_max);
  out.optional(attribute::engine_kv_usage_max, engine.kv_usage_max);
  if (trace.call.engine) return;
  out.optional(attribute::engine_prompt_tokens, engine.prompt_tokens);
  out.optional(attribute::engine_cached_tokens, engine.cached_tokens);
  out.number(attribute::engine_predicted_tokens, engine.output_tokens);
}

void write_call(const RequestTrace& trace, Writer out) {
  const InferenceCall& call = trace.call;
  if (call.operation.empty()) return;
  out.text(attribute::gen_ai_operation_name, call.operation);
  out.text(attribute::gen_ai_provider_name, call.provider);
  out.text(attribute::dialect, call.dialect);
  write_request(call.request, out);
  write_response(call, out);
  write_phases(trace, out);
  write_engine(trace, out);
  write_explanation(trace, out);
  out.endpoint(attribute::server_address, attribute::server_port, server_end(trace));
  out.text(attribute::error_type, error_type(trace));
  out.seconds(attribute::gen_ai_response_time_to_first_chunk, trace.time_to_first_event);
  out.seconds(attribute::time_to_first_event, trace.time_to_first_event);
  out.seconds(attribute::time_to_first_token, trace.time_to_first_token);
  out.seconds(attribute::time_per_output_token, trace.time_per_output_token);
}

}  // namespace

TraceAttributes attributes_of(const RequestTrace& trace) {
  TraceAttributes attributes;
  attributes.process.reserve(5);
  attributes.http.reserve(24);
  write_process(trace, Writer(attributes.process));
  write_http(trace, Writer(attributes.http));
  if (!trace.call.operation.empty()) attributes.call.reserve(32);
  write_call(trace, Writer(attributes.call));
  return attributes;
}

std::string error_type(const RequestTrace& trace) {
  if (trace.outcome != Outcome::error) return {};
  if (trace.call.failure) return clean_text(trace.call.failure->type);
  if (trace.exchange.response.status >= 400) return std::to_string(trace.exchange.response.status);
  switch (trace.exchange.ending) {
    case Exchange::Ending::server_closed:
      return "server_closed";
    case Exchange::Ending::process_exited:
      return "process_exited";
    default:
      return "_OTHER";  // the convention's word for a failure without a type
  }
}

std::string http_span_name(const RequestTrace& trace) {
  const std::string method = clean_text(trace.exchange.request.method);
  return method.empty() ? "HTTP" : method;
}

std::string call_span_name(const RequestTrace& trace) {
  std::string name = trace.call.operation;
  if (trace.call.request.model) name += ' ' + clean_text(*trace.call.request.model);
  return name;
}

std::string_view name_of(Outcome outcome) {
  switch (outcome) {
    case Outcome::ok:
      return "ok";
    case Outcome::error:
      return "error";
    case Outcome::client_cancelled:
      return "client_cancelled";
    case Outcome::truncated:
      return "truncated";
    case Outcome::in_flight:
      return "in_flight";
  }
  return "unknown";
}

std::string_view name_of(Role role) {
  switch (role) {
    case Role::client:
      return "client";
    case Role::server:
      return "server";
    case Role::unknown:
      break;
  }
  return "unknown";
}

std::string_view name_of(InferenceCall::CountSource source) {
  switch (source) {
    case InferenceCall::CountSource::usage:
      return "usage";
    case InferenceCall::CountSource::engine:
      return "engine";
    case InferenceCall::CountSource::events:
      return "events";
    case InferenceCall::CountSource::none:
      break;
  }
  return "none";
}

std::string hex(std::span<const std::uint8_t> bytes) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string text;
  text.reserve(bytes.size() * 2);
  for (const std::uint8_t byte : bytes) {
    text += digits[byte >> 4U];
    text += digits[byte & 0xfU];
  }
  return text;
}

}  // namespace inferscope
