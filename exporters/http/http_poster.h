// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "core/result.h"
#include "core/time.h"

namespace inferscope::exporters {

struct PostReply {
  int status = 0;  ///< 0: no answer
  std::string body{};
  std::string retry_after{};
  std::string problem{};  ///< why there was no answer
};

/// Posts to one URL, http or https (certificates are verified against the system's). One thread.
class HttpPoster {
 public:
  static Result<std::unique_ptr<HttpPoster>> create(const std::string& url, std::map<std::string, std::string> headers);
  ~HttpPoster();

  /// Waits for the answer at most so long. An answer of more than 4 MiB is none. `headers`: beside those of create().
  PostReply post(const std::string& body, Duration timeout, const std::map<std::string, std::string>& headers = {});
  /// From then on a post under way ends, and none begins. Any thread.
  void stop_at(std::chrono::steady_clock::time_point time) { stop_at_ = time.time_since_epoch().count(); }

 private:
  struct Impl;
  explicit HttpPoster(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
  std::atomic<std::chrono::steady_clock::rep> stop_at_ =
      std::chrono::steady_clock::time_point::max().time_since_epoch().count();
};

}  // namespace inferscope::exporters
