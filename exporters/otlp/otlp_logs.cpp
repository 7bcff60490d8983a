// SPDX-License-Identifier: Apache-2.0
#include "exporters/otlp/otlp_logs.h"

#include "exporters/otlp/otlp_fields.h"
#include "opentelemetry/proto/collector/logs/v1/logs_service.pb.h"

namespace inferscope::exporters {
namespace {

namespace otlp = opentelemetry::proto::logs::v1;

void set_severity(Record::Severity severity, otlp::LogRecord& out) {
  switch (severity) {
    case Record::Severity::info:
      out.set_severity_number(otlp::SEVERITY_NUMBER_INFO);
      out.set_severity_text("INFO");
      return;
    case Record::Severity::warn:
      out.set_severity_number(otlp::SEVERITY_NUMBER_WARN);
      out.set_severity_text("WARN");
      return;
    case Record::Severity::error:
      break;
  }
  out.set_severity_number(otlp::SEVERITY_NUMBER_ERROR);
  out.set_severity_text("ERROR");
}

}  // namespace

std::string encode_logs(std::span<const std::shared_ptr<const Record>> records, const std::string& service_name,
                        const std::map<std::string, std::string>& resource_attributes) {
  opentelemetry::proto::collector::logs::v1::ExportLogsServiceRequest request;
  otlp::ResourceLogs& group = *request.add_resource_logs();
  fill_resource(*group.mutable_resource(), service_name, resource_attributes);
  otlp::ScopeLogs& scope = *group.add_scope_logs();
  scope.mutable_scope()->set_name("inferscope");
  for (const auto& record : records) {
    otlp::LogRecord& out = *scope.add_log_records();
    const auto time = static_cast<std::uint64_t>(record->unix_ns);
    out.set_time_unix_nano(time);
    out.set_observed_time_unix_nano(time);
    set_severity(record->severity, out);
    out.set_event_name(std::string(record->event));
    out.mutable_body()->set_string_value(record->text);
    add_all(*out.mutable_attributes(), record->attributes);
    if (record->trace_id) out.set_trace_id(bytes_of(*record->trace_id));
    if (record->span_id) out.set_span_id(bytes_of(*record->span_id));
  }
  return request.SerializeAsString();
}

}  // namespace inferscope::exporters
