// stages: interpret correlate
// SPDX-License-Identifier: Apache-2.0
// Messages of engines: a direction, a number of frames, and for each its size in two bytes and its content; what is
// said goes on to the requests kept of it. The same message gives the same, and what is cut off tells of no more
// requests than the whole.
#include <memory>
#include <string>
#include <vector>

#include "correlate/engine_requests.h"
#include "interpret/engine_messages.h"
#include "tests/fuzz/fuzz_events.h"

using namespace inferscope;

namespace {

const Time now = time_from_ns(100'000'000'000);

std::size_t requests_in(const std::vector<PeerMessage::Frame>& frames, Direction direction,
                        correlate::EngineRequests& kept) {
  static const auto connection = std::make_shared<const Connection>(Connection{.id = 1});
  interpret::EngineMessages messages;
  std::size_t count = 0;
  messages.on({.connection = connection, .direction = direction, .time = now, .pid = 1, .frames = frames},
              [&](const EngineUpdate& update) {
                count += update.requests.size();
                test::require(update.time <= now);
                for (const EngineUpdate::Request& request : update.requests) {
                  test::require(!request.id.empty());
                  for (const auto& occurrence : request.occurrences) test::require(occurrence.time <= now);
                }
                kept.on(update);
                for (const EngineUpdate::Request& request : update.requests) {
                  RequestTrace trace;
                  trace.process.pid = 1;
                  trace.begin = trace.end = now;
                  trace.call.response.id = std::string(request.id);
                  if (const auto times = kept.find(trace))
                    test::require(times->batch_max <= times->batch_sum || times->requests > 1);
                }
              });
  test::require(messages.stats().balanced());
  return count;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  test::FuzzInput input(data, size);
  correlate::EngineRequests kept({.requests = 64});
  while (!input.empty()) {
    const Direction direction = input.byte() % 2 == 0 ? Direction::received : Direction::sent;
    std::vector<PeerMessage::Frame> frames;
    for (std::size_t left = input.byte() % 4; left > 0; --left) {
      const std::size_t length = input.byte() | static_cast<std::size_t>(input.byte()) << 8U;
      const std::string_view content = input.bytes(length);
      frames.push_back({content, content.size()});
    }
    const std::size_t whole = requests_in(frames, direction, kept);
    test::require(requests_in(frames, direction, kept) == whole);
    test::require(kept.stats().held <= 64 && kept.stats().balanced());
    if (frames.empty()) continue;
    PeerMessage::Frame& last = frames.back();
    last.content = last.content.substr(0, last.content.size() / 2);
    // Of one that is none of an engine's, the beginning may look like one.
    const std::size_t cut = requests_in(frames, direction, kept);
    test::require(cut <= whole || whole == 0);
  }
  return 0;
}
