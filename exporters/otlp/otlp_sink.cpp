// SPDX-License-Identifier: Apache-2.0
#include "exporters/otlp/otlp_sink.h"

#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <condition_variable>
#include <mutex>
#include <random>
#include <thread>
#include <utility>
#include <vector>

#include "core/bounded_queue.h"
#include "core/log.h"
#include "exporters/otlp/http_poster.h"
#include "exporters/otlp/otlp_spans.h"
#include "opentelemetry/proto/collector/trace/v1/trace_service.pb.h"

namespace inferscope::exporters {
namespace {

using Clock = std::chrono::steady_clock;
using Traces = std::vector<std::shared_ptr<const RequestTrace>>;
constexpr Duration idle_wait = std::chrono::milliseconds(500);

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

/// As the OTLP specification lists them.
bool may_retry(const PostReply& reply) {
  return reply.status == 0 || reply.status == 429 || reply.status == 502 || reply.status == 503 || reply.status == 504;
}

class OtlpSink : public Sink {
 public:
  OtlpSink(OtlpOptions options, std::unique_ptr<HttpPoster> poster)
      : options_(std::move(options)), poster_(std::move(poster)), queue_(options_.queue_traces) {
    thread_ = std::thread([this] { work(); });
  }
  ~OtlpSink() override { shut_down(Duration::zero()); }

  void put(const RequestTrace& trace) override {
    {
      const std::lock_guard lock(mutex_);
      ++stats_.in;
    }
    if (!queue_.push(std::make_shared<const RequestTrace>(trace))) drop("queue full", 1);
  }

  void shut_down(Duration limit) override {
    {
      const std::lock_guard lock(mutex_);
      deadline_ = std::min(deadline_, Clock::now() + limit);
      poster_->stop_at(deadline_);
    }
    wake_.notify_all();
    queue_.close();
    if (thread_.joinable()) thread_.join();
  }

  [[nodiscard]] std::string name() const override { return "otlp"; }
  [[nodiscard]] StageStats stats() const override {
    const std::lock_guard lock(mutex_);
    StageStats stats = stats_;
    stats.held = stats.in - stats.out - stats.dropped_total();
    return stats;
  }

 private:
  void work() {
    for (;;) {
      Traces batch = queue_.pop(options_.batch_traces, idle_wait);
      if (batch.empty()) {
        if (queue_.closed()) return;
        continue;
      }
      fill(batch);
      deliver(batch);
    }
  }

  /// Gives a young batch the time to grow.
  void fill(Traces& batch) {
    const auto until = Clock::now() + options_.batch_delay;
    while (batch.size() < options_.batch_traces && !queue_.closed()) {
      const auto left = until - Clock::now();
      if (left <= Duration::zero()) return;
      Traces more = queue_.pop(options_.batch_traces - batch.size(), std::chrono::duration_cast<Duration>(left));
      std::move(more.begin(), more.end(), std::back_inserter(batch));
    }
  }

  void deliver(const Traces& batch) {
    std::string body = encode_spans(batch, options_.service_name, options_.resource_attributes);
    if (options_.gzip) body = gzip(body);
    const auto give_up = Clock::now() + options_.retry_until;
    Duration pause = options_.retry_first;
    for (;;) {
      const Duration left = time_left();
      if (left <= Duration::zero()) return drop("shut down", batch.size());
      const PostReply reply = poster_->post(body, std::min(options_.timeout, left));
      if (reply.status >= 200 && reply.status < 300) return delivered(reply, batch.size());
      complain(reply);
      if (!may_retry(reply)) return drop("refused by the backend", batch.size());
      const Duration wait = next_pause(reply, pause);
      if (Clock::now() + wait > give_up) return drop("backend not reachable", batch.size());
      if (!sleep(wait)) return drop("shut down", batch.size());
      pause = std::min(pause * 2, options_.retry_most);
    }
  }

  /// Retry-After if the backend said it, else the pause with a jitter of half of it, so that agents spread out.
  Duration next_pause(const PostReply& reply, Duration pause) {
    int seconds = 0;
    const char* end = reply.retry_after.data() + reply.retry_after.size();
    if (std::from_chars(reply.retry_after.data(), end, seconds).ptr == end && seconds > 0)
      return std::min<Duration>(std::chrono::seconds(seconds), options_.retry_most);
    std::uniform_int_distribution<std::int64_t> jitter(pause.count() / 2, pause.count());
    return Duration(jitter(random_));
  }

  /// False: it is time to stop.
  bool sleep(Duration duration) {
    std::unique_lock lock(mutex_);
    const auto until = Clock::now() + duration;
    while (Clock::now() < until) {
      if (deadline_ != Clock::time_point::max()) return until <= deadline_ && (wake_.wait_until(lock, until), true);
      wake_.wait_until(lock, until);
    }
    return true;
  }

  [[nodiscard]] Duration time_left() const {
    const std::lock_guard lock(mutex_);
    if (deadline_ == Clock::time_point::max()) return Duration::max();
    return std::chrono::duration_cast<Duration>(deadline_ - Clock::now());
  }

  void delivered(const PostReply& reply, std::size_t count) {
    if (std::exchange(complained_, false)) log::info("traces are delivered again", {{"endpoint", options_.endpoint}});
    opentelemetry::proto::collector::trace::v1::ExportTraceServiceResponse answer;
    if (answer.ParseFromString(reply.body) && answer.partial_success().rejected_spans() > 0)
      log::warn("the backend rejected spans", {{"count", std::to_string(answer.partial_success().rejected_spans())},
                                               {"why", answer.partial_success().error_message()}});
    const std::lock_guard lock(mutex_);
    stats_.out += count;
  }

  void complain(const PostReply& reply) {
    if (std::exchange(complained_, true)) return;
    log::warn("traces cannot be delivered",
              {{"endpoint", options_.endpoint},
               {"problem", reply.status == 0 ? reply.problem : fmt::format("HTTP {}", reply.status)},
               {"retrying", may_retry(reply) ? "yes" : "no"}});
  }

  void drop(const char* reason, std::size_t count) {
    const std::lock_guard lock(mutex_);
    stats_.drop(reason, count);
  }

  OtlpOptions options_;
  std::unique_ptr<HttpPoster> poster_;
  BoundedQueue<std::shared_ptr<const RequestTrace>> queue_;
  mutable std::mutex mutex_{};
  std::condition_variable wake_{};
  StageStats stats_{};                                     ///< under mutex_
  Clock::time_point deadline_ = Clock::time_point::max();  ///< under mutex_; set by shut_down
  std::minstd_rand random_{std::random_device{}()};
  bool complained_ = false;
  std::thread thread_{};
};

}  // namespace

Result<std::unique_ptr<Sink>> make_otlp_sink(const OtlpOptions& options) {
  auto headers = options.headers;
  headers["Content-Type"] = "application/x-protobuf";
  headers["User-Agent"] = "inferscope";
  if (options.gzip) headers["Content-Encoding"] = "gzip";
  auto poster = HttpPoster::create(options.endpoint, std::move(headers));
  if (!poster) return poster.error();
  return std::unique_ptr<Sink>(std::make_unique<OtlpSink>(options, std::move(poster).value()));
}

}  // namespace inferscope::exporters
