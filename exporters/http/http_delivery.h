// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <string>

#include "core/result.h"
#include "core/time.h"
#include "exporters/http/http_poster.h"

namespace inferscope::exporters {

struct DeliveryOptions {
  Duration timeout = std::chrono::seconds(10);            ///< for one request
  Duration retry_first = std::chrono::milliseconds(500);  ///< doubled each time, with jitter
  Duration retry_most = std::chrono::seconds(30);
  Duration retry_until = std::chrono::minutes(5);  ///< then it is given up
};

/// Posts to one URL until it is taken: again with a growing pause while the backend is unwell, as the OTLP
/// specification lists it, and no longer than a shut-down allows. Used by one thread but for shut_down().
class HttpDelivery {
 public:
  struct Result {
    std::string problem{};  ///< why it was given up: a reason for a drop counter; empty: delivered
    std::string body{};     ///< of the answer
  };

  /// `what` is delivered, for messages: "traces".
  HttpDelivery(std::string what, std::string url, DeliveryOptions options, std::unique_ptr<HttpPoster> poster);

  Result deliver(const std::string& body, const std::map<std::string, std::string>& headers = {});
  /// Whatever is under way ends within `limit`. Any thread.
  void shut_down(Duration limit);

 private:
  using Clock = std::chrono::steady_clock;

  Duration next_pause(const PostReply& reply, Duration pause);
  bool sleep(Duration duration);
  [[nodiscard]] Duration time_left() const;
  void complain(const PostReply& reply);

  std::string what_;
  std::string url_;
  DeliveryOptions options_;
  std::unique_ptr<HttpPoster> poster_;
  mutable std::mutex mutex_{};
  std::condition_variable wake_{};
  Clock::time_point deadline_ = Clock::time_point::max();  ///< under mutex_; set by shut_down
  std::minstd_rand random_{std::random_device{}()};
  bool complained_ = false;
};

}  // namespace inferscope::exporters
