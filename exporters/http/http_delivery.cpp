// SPDX-License-Identifier: Apache-2.0
#include "exporters/http/http_delivery.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <utility>

#include "core/log.h"

namespace inferscope::exporters {
namespace {

bool may_retry(const PostReply& reply) {
  return reply.status == 0 || reply.status == 429 || reply.status == 502 || reply.status == 503 || reply.status == 504;
}

}  // namespace

HttpDelivery::HttpDelivery(std::string what, std::string url, DeliveryOptions options,
                           std::unique_ptr<HttpPoster> poster)
    : what_(std::move(what)), url_(std::move(url)), options_(options), poster_(std::move(poster)) {}

HttpDelivery::Result HttpDelivery::deliver(const std::string& body, const std::map<std::string, std::string>& headers) {
  const auto give_up = Clock::now() + options_.retry_until;
  Duration pause = options_.retry_first;
  for (;;) {
    const Duration left = time_left();
    if (left <= Duration::zero()) return {"shut down", {}};
    PostReply reply = poster_->post(body, std::min(options_.timeout, left), headers);
    if (reply.status >= 200 && reply.status < 300) {
      if (std::exchange(complained_, false)) log::info(what_ + " are delivered again", {{"endpoint", url_}});
      return {{}, std::move(reply.body)};
    }
    complain(reply);
    if (!may_retry(reply)) return {"refused by the backend", {}};
    const Duration wait = next_pause(reply, pause);
    if (Clock::now() + wait > give_up) return {"backend not reachable", {}};
    if (!sleep(wait)) return {"shut down", {}};
    pause = std::min(pause * 2, options_.retry_most);
  }
}

void HttpDelivery::shut_down(Duration limit) {
  {
    const std::lock_guard lock(mutex_);
    deadline_ = std::min(deadline_, Clock::now() + limit);
    poster_->stop_at(deadline_);
  }
  wake_.notify_all();
}

/// Retry-After if the backend said it, else the pause with a jitter of half of it, so that agents spread out.
Duration HttpDelivery::next_pause(const PostReply& reply, Duration pause) {
  int seconds = 0;
  const char* end = reply.retry_after.data() + reply.retry_after.size();
  if (std::from_chars(reply.retry_after.data(), end, seconds).ptr == end && seconds > 0)
    return std::min<Duration>(std::chrono::seconds(seconds), options_.retry_most);
  std::uniform_int_distribution<std::int64_t> jitter(pause.count() / 2, pause.count());
  return Duration(jitter(random_));
}

/// False: it is time to stop.
bool HttpDelivery::sleep(Duration duration) {
  std::unique_lock lock(mutex_);
  const auto until = Clock::now() + duration;
  while (Clock::now() < until) {
    if (deadline_ != Clock::time_point::max()) return until <= deadline_ && (wake_.wait_until(lock, until), true);
    wake_.wait_until(lock, until);
  }
  return true;
}

Duration HttpDelivery::time_left() const {
  const std::lock_guard lock(mutex_);
  if (deadline_ == Clock::time_point::max()) return Duration::max();
  return std::chrono::duration_cast<Duration>(deadline_ - Clock::now());
}

void HttpDelivery::complain(const PostReply& reply) {
  if (std::exchange(complained_, true)) return;
  log::warn(what_ + " cannot be delivered",
            {{"endpoint", url_},
             {"problem", reply.status == 0 ? reply.problem : fmt::format("HTTP {}", reply.status)},
             {"retrying", may_retry(reply) ? "yes" : "no"}});
}

}  // namespace inferscope::exporters
