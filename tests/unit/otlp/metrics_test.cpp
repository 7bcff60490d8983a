// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <thread>

#include "exporters/otlp/otlp_metrics.h"
#include "exporters/otlp/otlp_sink.h"
#include "opentelemetry/proto/collector/metrics/v1/metrics_service.pb.h"
#include "tests/support/http_server.h"

namespace inferscope::exporters {
namespace {

namespace otlp = opentelemetry::proto::metrics::v1;
using std::chrono::milliseconds;
using std::chrono::seconds;
using test::HttpServer;

std::shared_ptr<const Metrics> metrics_at(std::int64_t unix_ns) {
  Metrics metrics{.begin_unix_ns = 100, .unix_ns = unix_ns};
  metrics.all.push_back({"a.gauge",
                         "{cpu}",
                         "Of two.",
                         Metric::Kind::gauge,
                         {{{{"pid", std::int64_t{7}}}, 0.25}, {{{"pid", std::int64_t{8}}}, 0.5}}});
  metrics.all.push_back({"a.sum", "{item}", "", Metric::Kind::sum, {{{}, std::int64_t{1} << 40}}});
  metrics.all.push_back({"nothing", "1", "", Metric::Kind::sum, {}});
  return std::make_shared<const Metrics>(std::move(metrics));
}

opentelemetry::proto::collector::metrics::v1::ExportMetricsServiceRequest parsed(const std::string& text) {
  opentelemetry::proto::collector::metrics::v1::ExportMetricsServiceRequest request;
  EXPECT_TRUE(request.ParseFromString(text));
  return request;
}

TEST(OtlpMetrics, GaugesAndSums) {
  const std::vector batch{metrics_at(200), metrics_at(300)};
  const auto request = parsed(encode_metrics(batch, "service", {{"node", "n1"}}));
  ASSERT_EQ(request.resource_metrics_size(), 1);
  const auto& group = request.resource_metrics(0);
  EXPECT_EQ(group.resource().attributes(0).value().string_value(), "service");
  EXPECT_EQ(group.resource().attributes(1).value().string_value(), "n1");
  ASSERT_EQ(group.scope_metrics_size(), 1);
  const auto& metrics = group.scope_metrics(0).metrics();
  ASSERT_EQ(metrics.size(), 4) << "what has no points is left out";

  const otlp::Metric& gauge = metrics[0];
  EXPECT_EQ(gauge.name(), "a.gauge");
  EXPECT_EQ(gauge.unit(), "{cpu}");
  EXPECT_EQ(gauge.description(), "Of two.");
  ASSERT_EQ(gauge.gauge().data_points_size(), 2);
  const otlp::NumberDataPoint& second = gauge.gauge().data_points(1);
  EXPECT_EQ(second.as_double(), 0.5);
  EXPECT_EQ(second.time_unix_nano(), 200u);
  EXPECT_EQ(second.start_time_unix_nano(), 0u);
  EXPECT_EQ(second.attributes(0).key(), "pid");
  EXPECT_EQ(second.attributes(0).value().int_value(), 8);

  const otlp::Sum& sum = metrics[3].sum();
  EXPECT_EQ(sum.aggregation_temporality(), otlp::AGGREGATION_TEMPORALITY_CUMULATIVE);
  EXPECT_TRUE(sum.is_monotonic());
  EXPECT_EQ(sum.data_points(0).as_int(), std::int64_t{1} << 40);
  EXPECT_EQ(sum.data_points(0).start_time_unix_nano(), 100u);
  EXPECT_EQ(sum.data_points(0).time_unix_nano(), 300u);
}

TEST(OtlpMetrics, AreDelivered) {
  HttpServer server({HttpServer::answer(200)});
  OtlpOptions options;
  options.metrics_endpoint = server.url();
  options.batch_delay = milliseconds(0);
  auto sink = make_otlp_metric_sink(options);
  ASSERT_TRUE(sink) << sink.error().text();
  EXPECT_EQ((*sink)->name() + " of " + (*sink)->unit(), "otlp metrics of metrics");
  (*sink)->put(metrics_at(200));
  ASSERT_TRUE(server.wait_for_requests(1));
  EXPECT_EQ(parsed(HttpServer::body_of(server.requests()[0])).resource_metrics(0).scope_metrics(0).metrics_size(), 2);
  (*sink)->shut_down(seconds(5));
  EXPECT_EQ((*sink)->stats().out, 1u);
  EXPECT_TRUE((*sink)->stats().balanced());
}

}  // namespace
}  // namespace inferscope::exporters
