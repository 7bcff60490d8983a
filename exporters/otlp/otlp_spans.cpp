// SPDX-License-Identifier: Apache-2.0
#include "exporters/otlp/otlp_spans.h"

#include <string_view>
#include <utility>

#include "exporters/otlp/otlp_fields.h"
#include "model/attributes.h"
#include "model/text.h"
#include "model/time_math.h"
#include "model/trace_attributes.h"
#include "opentelemetry/proto/collector/trace/v1/trace_service.pb.h"

namespace inferscope::exporters {
namespace {

namespace otlp = opentelemetry::proto::trace::v1;
/// Ids of the phases' spans follow from their parent's, so that a replay gives the same.
SpanId phase_id(SpanId parent, std::uint8_t phase) {
  parent[0] ^= static_cast<std::uint8_t>(0x80u | phase);
  parent[7] ^= static_cast<std::uint8_t>(0x5au + phase);
  return parent;
}

class SpanWriter {
 public:
  SpanWriter(const RequestTrace& trace, otlp::ScopeSpans& out) : trace_(trace), out_(out) {}

  void write() {
    const TraceAttributes attributes = attributes_of(trace_);
    const bool server = trace_.role != Role::client;
    otlp::Span& http = add_span(http_span_name(trace_), trace_.span_id, trace_.begin, trace_.end);
    if (trace_.parent_span_id) http.set_parent_span_id(bytes_of(*trace_.parent_span_id));
    http.set_kind(server ? otlp::Span::SPAN_KIND_SERVER : otlp::Span::SPAN_KIND_CLIENT);
    add_all(*http.mutable_attributes(), attributes.http);
    set_status(http);
    if (!trace_.call_span_id) return;

    otlp::Span& call = add_span(call_span_name(trace_), *trace_.call_span_id, trace_.begin, trace_.end);
    call.set_parent_span_id(bytes_of(trace_.span_id));
    call.set_kind(server ? otlp::Span::SPAN_KIND_INTERNAL : otlp::Span::SPAN_KIND_CLIENT);
    add_all(*call.mutable_attributes(), attributes.call);
    set_status(call);
    if (trace_.explanation) explain(call);
    add_phases();
  }

 private:
  otlp::Span& add_span(const std::string& name, const SpanId& id, Time begin, Time end) {
    otlp::Span& span = *out_.add_spans();
    span.set_trace_id(bytes_of(trace_.trace_id));
    span.set_span_id(bytes_of(id));
    span.set_trace_state(clean_text(trace_.trace_state, 512));
    span.set_name(name);
    span.set_start_time_unix_nano(static_cast<std::uint64_t>(trace_.unix_ns(begin)));
    span.set_end_time_unix_nano(static_cast<std::uint64_t>(trace_.unix_ns(end)));
    return span;
  }

  /// What is known of its way through the engine; where that is nothing, what its tokens tell.
  void add_phases() {
    const RequestTrace::Phases phases = trace_.phases();
    if (phases.started) {
      if (phases.queue()) add_phase("queue", 1, *phases.queued, *phases.started);
      if (phases.prefill()) add_phase("prefill", 2, *phases.started, *phases.first_token);
      if (phases.decode()) add_phase("decode", 3, *phases.first_token, *phases.last_token);
      return;
    }
    if (!trace_.call.first_token) return;
    add_phase("queue and prefill", 1, trace_.begin, *trace_.call.first_token);
    if (trace_.call.last_token && *trace_.call.last_token > *trace_.call.first_token)
      add_phase("decode", 3, *trace_.call.first_token, *trace_.call.last_token);
  }

  /// Delays as events at their times, engine steps likewise, and links to those whose prompts were before it.
  void explain(otlp::Span& call) const {
    for (const DelayMark& mark : trace_.explanation->marks) {
      otlp::Span::Event& event = add_event(call, "inferscope.delay", mark.begin);
      add(*event.mutable_attributes(), attribute::cause_kind, std::string(name_of(mark.kind)));
      add(*event.mutable_attributes(), attribute::cause_text, describe(mark));
      add(*event.mutable_attributes(), attribute::delay_time, to_seconds(elapsed(mark.begin, mark.end)));
    }
    for (const EngineStep& step : trace_.explanation->steps) {
      otlp::Span::Event& event = add_event(call, "inferscope.engine_step", step.begin);
      add(*event.mutable_attributes(), attribute::step_kind, std::string(name_of(step.kind)));
      add(*event.mutable_attributes(), attribute::step_time, to_seconds(elapsed(step.begin, step.end)));
      add(*event.mutable_attributes(), attribute::step_size, std::int64_t{step.members});
      if (trace_.explanation->gpu_time) add(*event.mutable_attributes(), attribute::gpu_time, to_seconds(step.gpu));
    }
    for (const TimePart& part : trace_.explanation->blockers) {
      otlp::Span::Link& link = *call.add_links();
      link.set_trace_id(bytes_of(part.request.trace_id));
      link.set_span_id(bytes_of(part.request.span_id));
      add(*link.mutable_attributes(), attribute::cause_text, describe(part));
    }
  }

  otlp::Span::Event& add_event(otlp::Span& span, const char* name, Time time) const {
    otlp::Span::Event& event = *span.add_events();
    event.set_name(name);
    event.set_time_unix_nano(static_cast<std::uint64_t>(trace_.unix_ns(time)));
    return event;
  }

  void add_phase(const char* name, std::uint8_t number, Time begin, Time end) {
    otlp::Span& span = add_span(name, phase_id(*trace_.call_span_id, number), begin, end);
    span.set_parent_span_id(bytes_of(*trace_.call_span_id));
    span.set_kind(otlp::Span::SPAN_KIND_INTERNAL);
  }

  void set_status(otlp::Span& span) const {
    if (trace_.outcome == Outcome::error) span.mutable_status()->set_code(otlp::Status::STATUS_CODE_ERROR);
  }

  const RequestTrace& trace_;
  otlp::ScopeSpans& out_;
};

}  // namespace

std::string encode_spans(std::span<const std::shared_ptr<const RequestTrace>> traces, const std::string& service_name,
                         const std::map<std::string, std::string>& resource_attributes) {
  opentelemetry::proto::collector::trace::v1::ExportTraceServiceRequest request;
  std::map<std::pair<Pid, std::uint64_t>, otlp::ScopeSpans*> processes;
  for (const auto& trace : traces) {
    otlp::ScopeSpans*& scope = processes[{trace->process.pid, trace->process.start_time_ns}];
    if (!scope) {
      otlp::ResourceSpans& group = *request.add_resource_spans();
      fill_resource(*group.mutable_resource(), service_name, resource_attributes);
      add_all(*group.mutable_resource()->mutable_attributes(), attributes_of(*trace).process);
      scope = group.add_scope_spans();
      scope->mutable_scope()->set_name("inferscope");
    }
    SpanWriter(*trace, *scope).write();
  }
  return request.SerializeAsString();
}

}  // namespace inferscope::exporters
