// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "core/stage_stats.h"
#include "core/time.h"
#include "exporters/http/http_delivery.h"

namespace inferscope::exporters {

/// A message of a policy's notify action.
struct Notification {
  std::string url{};
  std::string secret_file{};  ///< its content, without a last line end, is the key of the signature; empty: not signed
  std::string body{};         ///< JSON
};

struct WebhookOptions {
  std::size_t queue = 256;  ///< more are dropped and counted
  DeliveryOptions delivery{.retry_until = std::chrono::minutes(2)};
};

/// Posts notifications. A signed one has the header X-Inferscope-Signature: sha256=HEX, the HMAC (RFC 2104) with
/// SHA-256 of "TIMESTAMP.BODY", where TIMESTAMP is the header X-Inferscope-Timestamp (Unix seconds): a receiver that
/// checks both cannot be fooled by a message sent again later.
class Webhook {
 public:
  explicit Webhook(WebhookOptions options = {});
  ~Webhook();

  /// Never blocks. Notifications for a URL that is none, or whose secret cannot be read, are dropped and counted.
  void put(Notification notification);
  void shut_down(Duration limit);
  /// Unit: notifications.
  [[nodiscard]] StageStats stats() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// The signature's hexadecimal digits.
std::string sign(const std::string& key, const std::string& timestamp, const std::string& body);

}  // namespace inferscope::exporters
