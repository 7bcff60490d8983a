// SPDX-License-Identifier: Apache-2.0
#include "exporters/otlp/otlp_metrics.h"

#include "exporters/otlp/otlp_fields.h"
#include "opentelemetry/proto/collector/metrics/v1/metrics_service.pb.h"

namespace inferscope::exporters {
namespace {

namespace otlp = opentelemetry::proto::metrics::v1;

struct NumberWriter {
  otlp::NumberDataPoint& out;
  void operator()(std::int64_t value) const { out.set_as_int(value); }
  void operator()(double value) const { out.set_as_double(value); }
};

google::protobuf::RepeatedPtrField<otlp::NumberDataPoint>& points_of(Metric::Kind kind, otlp::Metric& out) {
  if (kind == Metric::Kind::gauge) return *out.mutable_gauge()->mutable_data_points();
  otlp::Sum& sum = *out.mutable_sum();
  sum.set_aggregation_temporality(otlp::AGGREGATION_TEMPORALITY_CUMULATIVE);
  sum.set_is_monotonic(true);
  return *sum.mutable_data_points();
}

void encode(const Metrics& metrics, const Metric& metric, otlp::Metric& out) {
  out.set_name(std::string(metric.name));
  out.set_unit(std::string(metric.unit));
  out.set_description(std::string(metric.description));
  auto& points = points_of(metric.kind, out);
  for (const Metric::Point& point : metric.points) {
    otlp::NumberDataPoint& told = *points.Add();
    told.set_time_unix_nano(static_cast<std::uint64_t>(metrics.unix_ns));
    if (metric.kind == Metric::Kind::sum)
      told.set_start_time_unix_nano(static_cast<std::uint64_t>(metrics.begin_unix_ns));
    std::visit(NumberWriter{told}, point.value);
    add_all(*told.mutable_attributes(), point.attributes);
  }
}

}  // namespace

std::string encode_metrics(std::span<const std::shared_ptr<const Metrics>> batch, const std::string& service_name,
                           const std::map<std::string, std::string>& resource_attributes) {
  opentelemetry::proto::collector::metrics::v1::ExportMetricsServiceRequest request;
  otlp::ResourceMetrics& group = *request.add_resource_metrics();
  fill_resource(*group.mutable_resource(), service_name, resource_attributes);
  otlp::ScopeMetrics& scope = *group.add_scope_metrics();
  scope.mutable_scope()->set_name("inferscope");
  for (const auto& metrics : batch)
    for (const Metric& metric : metrics->all)
      if (!metric.points.empty()) encode(*metrics, metric, *scope.add_metrics());
  return request.SerializeAsString();
}

}  // namespace inferscope::exporters
