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
/// Messages on a connection, none of them an engine's.
constexpr std::uint32_t others_before_giving_up = 256;

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
    if (!heard.engine) return;
    begin(message, {});
    update_.cut = true;
    emit(update_);
  } else if (read(message, emit)) {
    heard.engine = true;
  } else if (!heard.engine && ++heard.others == others_before_giving_up && control_ != nullptr) {
    control_->stop_payload(message.connection->id);
  }
}

bool EngineMessages::read(const PeerMessage& message, const Emit<EngineUpdate>& emit) {
  const PeerMessage::Frame& body = body_of(message);
  if (is_pickle(body.content)) {
    ++pickled_;
    return false;
  }
  const Packed* root = reader_.parse(body.content);
  const bool structured = root != nullptr && (root->is(Packed::Kind::array) || root->is(Packed::Kind::map));
  if (structured && (!body.whole() || reader_.size() == body.content.size())) {
    for (const Engine* engine : engines) {
      begin(message, engine->name);
      update_.cut = !body.whole();
      if (!engine->read(message, *root, reader_, update_)) continue;
      ++out_;
      emit(update_);
      return true;
    }
  }
  ++foreign_;
  return false;
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
  stats.drop("pickled", pickled_);
  stats.drop("missed", missed_);
  return stats;
}

}  // namespace inferscope::interpret
