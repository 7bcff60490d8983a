// SPDX-License-Identifier: Apache-2.0
#include "exporters/otlp/otlp_sink.h"

#include <zlib.h>

#include <functional>
#include <utility>
#include <vector>

#include "core/log.h"
#include "exporters/http/http_delivery.h"
#include "exporters/otlp/otlp_logs.h"
#include "exporters/otlp/otlp_metrics.h"
#include "exporters/otlp/otlp_spans.h"
#include "exporters/worker.h"
#include "opentelemetry/proto/collector/logs/v1/logs_service.pb.h"
#include "opentelemetry/proto/collector/metrics/v1/metrics_service.pb.h"
#include "opentelemetry/proto/collector/trace/v1/trace_service.pb.h"

namespace inferscope::exporters {
namespace {

namespace collector = opentelemetry::proto::collector;

std::string gzip(const std::string& text) {
  z_stream stream{};
  constexpr int gzip_window = 15 + 16;  // 16: the gzip format instead of zlib's
  if (deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, gzip_window, 8, Z_DEFAULT_STRATEGY) != Z_OK) return {};
  std::string out(deflateBound(&stream, text.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

/// A success may still name items that the backend did not take.
void tell_rejected(std::int64_t count, const std::string& why) {
  if (count > 0) log::warn("the backend rejected items", {{"count", std::to_string(count)}, {"why", why}});
}
void read_answer(const RequestTrace*, const std::string& body) {
  collector::trace::v1::ExportTraceServiceResponse answer;
  if (answer.ParseFromString(body))
    tell_rejected(answer.partial_success().rejected_spans(), answer.partial_success().error_message());
}
void read_answer(const Record*, const std::string& body) {
  collector::logs::v1::ExportLogsServiceResponse answer;
  if (answer.ParseFromString(body))
    tell_rejected(answer.partial_success().rejected_log_records(), answer.partial_success().error_message());
}
void read_answer(const Metrics*, const std::string& body) {
  collector::metrics::v1::ExportMetricsServiceResponse answer;
  if (answer.ParseFromString(body))
    tell_rejected(answer.partial_success().rejected_data_points(), answer.partial_success().error_message());
}

/// One signal: traces, logs or metrics.
template <class T>
class OtlpSink : public Sink {
 public:
  using Item = std::shared_ptr<const T>;
  using Encode =
      std::function<std::string(std::span<const Item>, const std::string&, const std::map<std::string, std::string>&)>;

  OtlpSink(std::string name, const std::string& what, const std::string& url, OtlpOptions options, Encode encode,
           std::unique_ptr<HttpPoster> poster)
      : name_(std::move(name)),
        options_(std::move(options)),
        encode_(std::move(encode)),
        delivery_(what, url, options_.delivery, std::move(poster)),
        worker_({.queue = options_.queue_traces, .batch = options_.batch_traces, .batch_delay = options_.batch_delay},
                [this](const std::vector<Item>& batch) { deliver(batch); }) {}
  ~OtlpSink() override { shut_down(Duration::zero()); }

  void shut_down(Duration limit) override {
    delivery_.shut_down(limit);
    worker_.close();
  }
  [[nodiscard]] std::string name() const override { return name_; }
  [[nodiscard]] StageStats stats() const override { return worker_.stats(); }

 protected:
  void take(Item item) { worker_.put(std::move(item)); }

 private:
  void deliver(const std::vector<Item>& batch) {
    std::string body = encode_(batch, options_.service_name, options_.resource_attributes);
    if (options_.gzip) body = gzip(body);
    const auto result = delivery_.deliver(body);
    if (!result.problem.empty()) return worker_.drop(result.problem, batch.size());
    read_answer(static_cast<const T*>(nullptr), result.body);
    worker_.delivered(batch.size());
  }

  std::string name_;
  OtlpOptions options_;
  Encode encode_;
  HttpDelivery delivery_;
  Worker<Item> worker_;
};

class TraceSink : public OtlpSink<RequestTrace> {
 public:
  using OtlpSink::OtlpSink;
  using Sink::put;
  void put(const RequestTrace& trace) override { take(std::make_shared<const RequestTrace>(trace)); }
};

class LogSink : public OtlpSink<Record> {
 public:
  using OtlpSink::OtlpSink;
  using Sink::put;
  void put(const std::shared_ptr<const Record>& record) override { take(record); }
  [[nodiscard]] std::string unit() const override { return "records"; }
};

class MetricSink : public OtlpSink<Metrics> {
 public:
  using OtlpSink::OtlpSink;
  using Sink::put;
  void put(const std::shared_ptr<const Metrics>& metrics) override { take(metrics); }
  [[nodiscard]] std::string unit() const override { return "metrics"; }
};

Result<std::unique_ptr<HttpPoster>> poster_for(const std::string& url, const OtlpOptions& options) {
  auto headers = options.headers;
  headers["Content-Type"] = "application/x-protobuf";
  headers["User-Agent"] = "inferscope";
  if (options.gzip) headers["Content-Encoding"] = "gzip";
  return HttpPoster::create(url, std::move(headers));
}

template <class T, class Encode>
Result<std::unique_ptr<Sink>> make_sink(const char* name, const char* what, const std::string& url,
                                        const OtlpOptions& options, Encode encode) {
  auto poster = poster_for(url, options);
  if (!poster) return poster.error();
  return std::unique_ptr<Sink>(std::make_unique<T>(name, what, url, options, encode, std::move(poster).value()));
}

}  // namespace

Result<std::unique_ptr<Sink>> make_otlp_sink(const OtlpOptions& options) {
  return make_sink<TraceSink>("otlp", "traces", options.endpoint, options, encode_spans);
}

Result<std::unique_ptr<Sink>> make_otlp_log_sink(const OtlpOptions& options) {
  return make_sink<LogSink>("otlp logs", "findings", options.logs_endpoint, options, encode_logs);
}

Result<std::unique_ptr<Sink>> make_otlp_metric_sink(const OtlpOptions& options) {
  return make_sink<MetricSink>("otlp metrics", "metrics", options.metrics_endpoint, options, encode_metrics);
}

}  // namespace inferscope::exporters
