// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "assemble/assembler.h"
#include "tests/support/exchange_log.h"
#include "tests/support/script.h"

namespace inferscope::assemble {

using test::ExchangeLog;
using test::Script;
using Kind = ExchangeUpdate::Kind;
using Ending = Exchange::Ending;

/// Remembers what was asked for.
class FakeControl final : public CaptureControl {
 public:
  void stop_payload(ConnectionId connection) override { stopped.push_back(connection); }
  void capture_from(ConnectionId connection, Direction direction, std::uint64_t position) override {
    asked.push_back({connection, direction, position});
  }

  struct Ask {
    ConnectionId connection;
    Direction direction;
    std::uint64_t position;
    bool operator==(const Ask&) const = default;
  };
  std::vector<ConnectionId> stopped{};
  std::vector<Ask> asked{};
};

/// Gives events to an Assembler and checks after each one that its account balances.
class Trial {
 public:
  explicit Trial(Limits limits = {}) : assembler_(limits, &control) {}

  Trial& feed(const std::vector<Event>& events) {
    for (const Event& event : events) {
      assembler_.on(event, emit_);
      EXPECT_TRUE(assembler_.stats().balanced());
    }
    EXPECT_EQ(log.complaint(), "");
    return *this;
  }
  Trial& feed(const Script& script) { return feed(script.events()); }
  Trial& tick(Time now) {
    assembler_.tick(now, emit_);
    EXPECT_TRUE(assembler_.stats().balanced());
    return *this;
  }
  Trial& finish(Time now = {}) {
    assembler_.finish(now, emit_);
    EXPECT_TRUE(assembler_.stats().balanced());
    EXPECT_EQ(assembler_.stats().held, 0U);
    EXPECT_EQ(log.open(), 0U);
    EXPECT_EQ(log.complaint(), "");
    return *this;
  }
  [[nodiscard]] StageStats stats() const { return assembler_.stats(); }
  [[nodiscard]] std::uint64_t dropped(std::string_view reason) const {
    const StageStats all = stats();
    const auto it = all.dropped.find(reason);
    return it == all.dropped.end() ? 0 : it->second;
  }
  [[nodiscard]] const Assembler& assembler() const { return assembler_; }
  /// The exchange that closed as number `index`.
  [[nodiscard]] const Exchange& closed(std::size_t index = 0) const { return log.closed().at(index); }

  FakeControl control{};
  ExchangeLog log{};

 private:
  Assembler assembler_;
  Emit<ExchangeUpdate> emit_ = [this](const ExchangeUpdate& update) { log.on(update); };
};

inline std::string chunk(std::string_view data) {
  constexpr char digits[] = "0123456789abcdef";
  std::string size;
  std::size_t rest = data.size();
  do {
    size.insert(size.begin(), digits[rest % 16]);
    rest /= 16;
  } while (rest > 0);
  return size + "\r\n" + std::string(data) + "\r\n";
}

inline const std::string sse_head =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";

}  // namespace inferscope::assemble
