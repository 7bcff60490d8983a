// SPDX-License-Identifier: Apache-2.0
#include "model/record.h"

#include <fmt/format.h>

#include <utility>
#include <vector>

#include "model/attribute_writer.h"
#include "model/attributes.h"
#include "model/json_out.h"
#include "model/text.h"
#include "model/time_math.h"

namespace inferscope {
namespace {

std::int64_t to_unix(Time time, std::int64_t unix_minus_kernel_ns) {
  return saturating_add(to_ns(time), unix_minus_kernel_ns);
}

std::string describe(const Evidence& evidence) {
  std::string text = fmt::format("{} {:.6g} {}", evidence.name, evidence.value, evidence.unit);
  if (evidence.usual) text += fmt::format(", usual {:.6g} {}", *evidence.usual, evidence.unit);
  return text;
}

void write_cause(const Cause& cause, AttributeWriter out) {
  out.text(attribute::cause_kind, name_of(cause.kind));
  out.text(attribute::cause_text, cause.text);
  if (cause.kind > Cause::Kind::none) out.number(attribute::cause_share, cause.share);
  if (!cause.culprit) return;
  out.number(attribute::culprit_pid, cause.culprit->pid);
  out.text(attribute::culprit_name, cause.culprit->name);
  out.text(attribute::culprit_cgroup, cause.culprit->cgroup);
}

void write_requests(const Finding& finding, AttributeWriter out) {
  std::vector<std::string> traces, spans;
  for (const RequestRef& request : finding.requests) {
    if (request.span_id == SpanId{}) continue;
    traces.push_back(hex(request.trace_id));
    spans.push_back(hex(request.span_id));
  }
  out.number(attribute::finding_requests, finding.requests_total);
  out.texts(attribute::finding_trace_ids, traces);
  out.texts(attribute::finding_span_ids, spans);
}

void write_decision(const Decision& decision, AttributeWriter out) {
  out.text(attribute::decision_id, decision.id);
  out.text(attribute::finding_id, decision.finding);
  out.text(attribute::policy_name, decision.policy);
  out.number(attribute::policy_step, decision.step);
  out.text(attribute::action_kind, name_of(decision.action.kind));
  out.text(attribute::action_text, describe(decision.action));
  if (decision.action.lease > Duration::zero()) out.seconds(attribute::action_lease, decision.action.lease);
  if (decision.target.pid != 0) out.number(attribute::target_pid, decision.target.pid);
  out.text(attribute::target_name, decision.target.name);
  out.text(attribute::target_cgroup, decision.target.cgroup);
  out.text(attribute::decision_verdict, name_of(decision.verdict));
  out.text(attribute::decision_reason, decision.reason);
}

std::string_view severity_name(Record::Severity severity) {
  switch (severity) {
    case Record::Severity::info:
      return "info";
    case Record::Severity::warn:
      return "warn";
    case Record::Severity::error:
      break;
  }
  return "error";
}

}  // namespace

std::string describe(const Action& action) {
  std::string text(name_of(action.kind));
  if (action.kind == Action::Kind::signal) text += fmt::format(" {}", signal_name(action.signal));
  if (action.kind == Action::Kind::throttle) text += fmt::format(" to {:g} processors", action.quota);
  if (action.kind == Action::Kind::weight) text += " " + text_of_weight(action.weight);
  if (action.lease > Duration::zero()) text += fmt::format(" for {:g} s", to_seconds(action.lease));
  return text;
}

std::string describe(const ProcessTarget& target) {
  if (target.pid == 0 && target.cgroup.empty()) return "nobody";
  if (target.pid == 0) return "cgroup " + clean_text(target.cgroup, 256);
  return fmt::format("{} (pid {})", clean_text(target.name, 64), target.pid);
}

Record record_of(const FindingUpdate& update) {
  const Finding& finding = update.finding;
  Record record{.event = "inferscope.finding", .id = finding.id, .finding = finding.id};
  record.open = update.kind != FindingUpdate::Kind::closed;
  record.unix_ns = to_unix(update.time, finding.unix_minus_kernel_ns);
  record.severity = record.open ? Record::Severity::warn : Record::Severity::info;
  record.text = clean_text(finding.summary, 1024);
  AttributeWriter out(record.attributes);
  out.text(attribute::finding_id, finding.id);
  out.text(attribute::finding_kind, name_of(finding.kind));
  out.text(attribute::finding_state, record.open ? "open" : "over");
  out.number(attribute::finding_confidence, finding.confidence);
  out.number(attribute::finding_begin, to_unix(finding.begin, finding.unix_minus_kernel_ns));
  out.number(attribute::finding_detected, to_unix(finding.detected, finding.unix_minus_kernel_ns));
  if (finding.end) out.number(attribute::finding_end, to_unix(*finding.end, finding.unix_minus_kernel_ns));
  out.number(attribute::process_pid, finding.server.pid);
  out.text(attribute::process_executable_name, finding.server.name);
  if (finding.port != 0) out.number(attribute::server_port, finding.port);
  out.text(attribute::gen_ai_request_model, finding.model);
  out.number(attribute::finding_value, finding.measure.value);
  out.text(attribute::finding_unit, finding.measure.unit);
  if (finding.measure.usual > 0) {
    out.number(attribute::finding_usual, finding.measure.usual);
    out.number(attribute::finding_ratio, finding.measure.ratio());
  }
  std::vector<std::string> evidence;
  for (const Evidence& one : finding.evidence) evidence.push_back(describe(one));
  out.texts(attribute::finding_evidence, evidence);
  if (finding.gap) out.flag(attribute::finding_gap, true);
  write_cause(finding.cause, out);
  write_requests(finding, out);
  for (const RequestRef& request : finding.requests) {
    if (request.span_id == SpanId{}) continue;
    record.trace_id = request.trace_id;
    record.span_id = request.span_id;
    break;
  }
  return record;
}

Record record_of(const Decision& decision, std::int64_t unix_minus_kernel_ns) {
  Record record{.event = "inferscope.decision", .id = decision.id, .finding = decision.finding};
  record.unix_ns = to_unix(decision.time, unix_minus_kernel_ns);
  record.text = fmt::format("{}: {} on {} by policy {}{}{}", name_of(decision.verdict), describe(decision.action),
                            describe(decision.target), decision.policy, decision.reason.empty() ? "" : ": ",
                            clean_text(decision.reason, 512));
  write_decision(decision, AttributeWriter(record.attributes));
  return record;
}

Record record_of(const Effect& effect, Time now) {
  const std::int64_t offset = effect.unix_minus_kernel_ns;
  Record record{.event = "inferscope.effect", .id = effect.id, .finding = effect.decision.finding};
  record.open = effect.state == Effect::State::active || effect.state == Effect::State::stuck;
  record.unix_ns = to_unix(now, offset);
  if (effect.state == Effect::State::failed) record.severity = Record::Severity::warn;
  if (effect.state == Effect::State::stuck) record.severity = Record::Severity::error;
  record.text = fmt::format("{}: {} on {}", name_of(effect.state), describe(effect.decision.action),
                            describe(effect.decision.target));
  if (effect.ended_by > Effect::EndedBy::at_once) record.text += fmt::format(", by {}", name_of(effect.ended_by));
  if (effect.outcome != Effect::Outcome::pending) record.text += fmt::format(", {}", name_of(effect.outcome));
  if (!effect.problem.empty()) record.text += ": " + clean_text(effect.problem, 512);
  AttributeWriter out(record.attributes);
  out.text(attribute::effect_id, effect.id);
  out.text(attribute::effect_state, name_of(effect.state));
  out.text(attribute::effect_outcome, name_of(effect.outcome));
  if (effect.ended_by != Effect::EndedBy::none) out.text(attribute::effect_ended_by, name_of(effect.ended_by));
  out.number(attribute::effect_begin, to_unix(effect.begin, offset));
  if (effect.lease_until > effect.begin) out.number(attribute::effect_lease_until, to_unix(effect.lease_until, offset));
  if (effect.end) out.number(attribute::effect_end, to_unix(*effect.end, offset));
  out.text(attribute::effect_where, effect.where);
  out.text(attribute::effect_earlier, effect.earlier);
  out.text(attribute::effect_written, effect.written);
  out.text(attribute::effect_problem, effect.problem);
  write_decision(effect.decision, out);
  return record;
}

std::string to_json(const Record& record) {
  rapidjson::StringBuffer buffer;
  Json json(buffer);
  json.StartObject();
  const auto text = [&](std::string_view name, std::string_view value) {
    write_name(json, name);
    write_text(json, value);
  };
  text("event", record.event);
  text("id", record.id);
  if (!record.finding.empty()) text("finding", record.finding);
  write_name(json, "time_unix_nano");
  json.Int64(record.unix_ns);
  text("severity", severity_name(record.severity));
  text("text", record.text);
  if (record.trace_id) text("trace_id", hex(*record.trace_id));
  if (record.span_id) text("span_id", hex(*record.span_id));
  for (const Attribute& attribute : record.attributes) write_attribute(json, attribute);
  json.EndObject();
  return {buffer.GetString(), buffer.GetSize()};
}

}  // namespace inferscope
