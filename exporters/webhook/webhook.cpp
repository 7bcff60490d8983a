// SPDX-License-Identifier: Apache-2.0
#include "exporters/webhook/webhook.h"

#include <fmt/format.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <array>
#include <ctime>
#include <map>
#include <mutex>
#include <utility>
#include <vector>

#include "core/log.h"
#include "core/proc_stat.h"
#include "exporters/worker.h"

namespace inferscope::exporters {
namespace {

/// Policies name few URLs; beyond it the connections to the others are made anew.
constexpr std::size_t most_urls = 64;

}  // namespace

std::string sign(const std::string& key, const std::string& timestamp, const std::string& body) {
  const std::string text = timestamp + "." + body;
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned size = 0;
  HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), reinterpret_cast<const unsigned char*>(text.data()),
       text.size(), digest.data(), &size);
  return fmt::format("{:02x}", fmt::join(digest.begin(), digest.begin() + size, ""));
}

struct Webhook::Impl {
  explicit Impl(WebhookOptions with)
      : options(with), worker({.queue = with.queue, .batch = 1}, [this](const std::vector<Notification>& batch) {
          for (const Notification& one : batch) deliver(one);
        }) {}

  void deliver(const Notification& notification) {
    HttpDelivery* delivery = delivery_for(notification.url);
    if (!delivery) return worker.drop("no such endpoint", 1);
    std::map<std::string, std::string> headers;
    if (!notification.secret_file.empty()) {
      std::string key = proc::read_text(notification.secret_file);
      while (!key.empty() && (key.back() == '\n' || key.back() == '\r')) key.pop_back();
      if (key.empty()) {
        log::error("a notification is not sent: its secret cannot be read", {{"file", notification.secret_file}});
        return worker.drop("secret not readable", 1);
      }
      const std::string timestamp = std::to_string(std::time(nullptr));
      headers["X-Inferscope-Timestamp"] = timestamp;
      headers["X-Inferscope-Signature"] = "sha256=" + sign(key, timestamp, notification.body);
    }
    const auto result = delivery->deliver(notification.body, headers);
    if (result.problem.empty())
      worker.delivered(1);
    else
      worker.drop(result.problem, 1);
  }

  HttpDelivery* delivery_for(const std::string& url) {
    const std::lock_guard lock(mutex);
    if (const auto known = deliveries.find(url); known != deliveries.end()) return known->second.get();
    auto poster = HttpPoster::create(url, {{"Content-Type", "application/json"}, {"User-Agent", "inferscope"}});
    if (!poster) {
      log::error("a notification is not sent", {{"problem", poster.error().text()}});
      return nullptr;
    }
    if (deliveries.size() >= most_urls) deliveries.clear();
    auto& delivery = deliveries[url];
    delivery = std::make_unique<HttpDelivery>("notifications", url, options.delivery, std::move(poster).value());
    if (stopping) delivery->shut_down(stop_limit);
    return delivery.get();
  }

  void shut_down(Duration limit) {
    {
      const std::lock_guard lock(mutex);
      stopping = true;
      stop_limit = limit;
      for (auto& [url, delivery] : deliveries) delivery->shut_down(limit);
    }
    worker.close();
  }

  WebhookOptions options;
  std::mutex mutex{};
  std::map<std::string, std::unique_ptr<HttpDelivery>> deliveries{};  ///< under mutex, as the next two
  bool stopping = false;
  Duration stop_limit{};
  Worker<Notification> worker;
};

Webhook::Webhook(WebhookOptions options) : impl_(std::make_unique<Impl>(options)) {}
Webhook::~Webhook() {
  impl_->shut_down(Duration::zero());
}
void Webhook::put(Notification notification) {
  impl_->worker.put(std::move(notification));
}
void Webhook::shut_down(Duration limit) {
  impl_->shut_down(limit);
}
StageStats Webhook::stats() const {
  return impl_->worker.stats();
}

}  // namespace inferscope::exporters
