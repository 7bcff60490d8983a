// SPDX-License-Identifier: Apache-2.0
#include "interpret/engine_messages.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "interpret/engines.h"
#include "model/time_math.h"

namespace inferscope::interpret {
namespace {

constexpr std::array<const Engine*, 2> engines{&vllm_engine, &sglang_engine};

constexpr std::size_t longest_id = 512;
constexpr std::size_t most_connections = 4096;
/// So many of another kind on a connection, none of them an engine's; or many more that are pickled, as an engine may
/// do with some of its messages, and as others do with all.
constexpr std::uint32_t foreign_weight = 64;
constexpr std::uint32_t pickled_weight = 1;
constexpr std::uint32_t most_weight = 256 * foreign_weight;

/// Of protocol 2 and later, as all Pythons of today write it.
bool is_pickle(std::string_view content) {
  return content.size() > 2 && content[0] == '\x80' && content[1] >= 2 && content[1] <= 5 && content.back() == '.';
}

/// The frame that says something: some are led by a frame of one byte, and followed by buffers.
const PeerMessage::Frame& body_of(const PeerMessage& message) {
  return message.frames.size() > 1 && message.frames[0].length <= 1 ? message.frames[1] : message.frames[0];
}

}  // namespace

bool is_request_id(const Packed* value) {
  return value != nullptr && value->is(Packed::Kind::text) && !value->content.empty() &&
         value->content.size() <= longest_id;
}

std::optional<Time> believed(double seconds, Time message, Duration oldest) {
  // Processors' clocks agree, but what was written down last need not be what happened last.
  constexpr Duration tolerance = std::chrono::milliseconds(1);
  constexpr double most_seconds = 9e9;
  if (!std::isfinite(seconds) || seconds <= 0 || seconds >= most_seconds) return std::nullopt;
  const Time time{Duration{static_cast<std::int64_t>(seconds * 1e9)}};
  const Duration before = elapsed(time, message);
  if (before < -tolerance || before > oldest) return std::nullopt;
  return std::min(time, message);
}

void EngineMessages::on(const PeerMessage& message, const Emit<EngineUpdate>& emit) {
  ++in_;
  Heard& heard = heard_of(message);
  if (message.frames.empty()) {
    ++missed_;
    begin(message, {});
    update_.cut = true;
    if (heard.engine) return emit(update_);
    heard.missed = update_;
    return;
  }
  switch (read(message)) {
    case Kind::work:
      ++out_;
      if (heard.missed) emit(*heard.missed);
      heard = {.engine = true};
      return emit(update_);
    case Kind::control:
      ++control_messages_;
      return;
    case Kind::pickled:
      ++pickled_;
      return count_other(message, heard, pickled_weight);
    case Kind::foreign:
      ++foreign_;
      return count_other(message, heard, foreign_weight);
  }
}

EngineMessages::Kind EngineMessages::read(const PeerMessage& message) {
  const PeerMessage::Frame& body = body_of(message);
  if (is_pickle(body.content)) return Kind::pickled;
  const Packed* root = reader_.parse(body.content);
  const bool structured = root != nullptr && (root->is(Packed::Kind::array) || root->is(Packed::Kind::map));
  if (!structured || (body.whole() && reader_.size() != body.content.size())) return Kind::foreign;
  Kind kind = Kind::foreign;
  for (const Engine* engine : engines) {
    begin(message, engine->name);
    update_.cut = !body.whole();
    const Reading reading = engine->read(message, *root, reader_, update_);
    if (reading == Reading::work) return Kind::work;
    if (reading == Reading::control) kind = Kind::control;
  }
  return kind;
}

void EngineMessages::count_other(const PeerMessage& message, Heard& heard, std::uint32_t weight) {
  if (heard.engine || heard.others >= most_weight) return;
  heard.others += weight;
  if (heard.others >= most_weight && control_ != nullptr) control_->stop_payload(message.connection->id);
}

void EngineMessages::begin(const PeerMessage& message, std::string_view engine) {
  update_.engine = engine;
  update_.pid = message.pid;
  update_.direction = message.direction;
  update_.time = message.time;
  update_.requests.clear();
  update_.step.reset();
  update_.cut = false;
}

EngineMessages::Heard& EngineMessages::heard_of(const PeerMessage& message) {
  const ConnectionId id = message.connection->id;
  // That connections end is not told here. One that goes on tells again what it is.
  if (heard_.size() >= most_connections && !heard_.contains(id)) heard_.clear();
  return heard_[id];
}

StageStats EngineMessages::stats() const {
  StageStats stats{.in = in_, .out = out_};
  stats.drop("not an engine's", foreign_);
  stats.drop("not of requests", control_messages_);
  stats.drop("pickled", pickled_);
  stats.drop("missed", missed_);
  return stats;
}

}  // namespace inferscope::interpret
