// stage: correlate
// SPDX-License-Identifier: Apache-2.0
// Plays the input as a program of five-byte steps on a few processes and connections that may be each other's ends.
// Played twice, it must give the same bytes.
#include <array>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <set>
#include <span>
#include <string>

#include "correlate/correlator.h"
#include "model/text.h"
#include "model/time_math.h"
#include "model/trace_json.h"
#include "tests/support/exchange_script.h"

namespace {

using namespace inferscope;

void require(bool condition) {
  if (!condition) std::abort();
}

void check(const RequestTrace& trace, const std::string& json) {
  require(trace.complete == trace.lost.empty());
  require(trace.trace_id != TraceId{} && trace.span_id != SpanId{});
  require(trace.parent_span_id != trace.span_id);
  require(trace.begin <= trace.end);
  require(trace.call_span_id.has_value() == !trace.call.operation.empty());
  for (const auto& duration :
       {trace.time_to_first_byte, trace.time_to_first_event, trace.time_to_first_token, trace.time_per_output_token})
    require(!duration || *duration >= Duration::zero());
  require(is_clean_text(json, json.size()));
  if (!trace.explanation) return;
  Duration sum{};
  for (const TimePart& part : trace.explanation->parts) {
    require(part.time > Duration::zero());
    sum += part.time;
  }
  require(sum == elapsed(trace.begin, trace.end));
}

struct Call {
  Exchange exchange{};
  InferenceCall call{};
};

class Player {
 public:
  std::string play(std::span<const std::uint8_t> program) {
    for (; program.size() >= 5; program = program.subspan(5)) step(program.first(5));
    correlator_.in_flight(now_, [&](const RequestTrace& trace) {
      const std::string json = to_json(trace, true);
      require(trace.outcome == Outcome::in_flight);
      check(trace, json);
      out_ += json;
    });
    return out_;
  }

 private:
  void step(std::span<const std::uint8_t> bytes) {
    now_ = bytes[4] == 0xff
               ? Time{Duration{static_cast<std::int64_t>(std::uint64_t{bytes[3]} << 56U)}}
               : now_ + std::chrono::milliseconds(bytes[4]) * (to_ns(now_) < (std::int64_t{1} << 60) ? 1 : 0);
    const Pid pid = 1 + bytes[1] % 3;
    if ((bytes[0] & 32U) != 0) return work(bytes, pid);
    switch (bytes[0] % 8) {
      case 0:
        correlator_.on(Event{now_, ProcessStarted{.pid = pid, .start_time_ns = bytes[2], .name = "p"}});
        break;
      case 1:
        correlator_.on(Event{now_, ProcessExited{.pid = pid}});
        break;
      case 2:
        correlator_.on(Event{now_, ClockSet{static_cast<std::int64_t>(std::uint64_t{bytes[2]} << 56U)}});
        break;
      case 3:
      case 4:
        open(bytes, pid);
        break;
      default:
        advance(bytes);
        break;
    }
    require(correlator_.stats().balanced());
  }

  /// What threads and GPUs did, with times around now.
  void work(std::span<const std::uint8_t> bytes, Pid pid) {
    const auto around = [&](int quarter) {
      return now_ + std::chrono::milliseconds(static_cast<signed char>(bytes[3]) * quarter / 4);
    };
    const Tid tid = bytes[2] % 5;
    switch (bytes[0] % 6) {
      case 0:
        correlator_.on(Event{now_, GpuWork{.pid = pid, .tid = tid, .begin = around(1), .end = around(bytes[2] % 4)}});
        break;
      case 1: {
        ProcessSample sample;
        sample.process.pid = pid;
        sample.throttled = std::chrono::milliseconds(bytes[2]);
        correlator_.on(Event{now_, sample});
        break;
      }
      case 2:
        correlator_.on(Event{now_, SendStall{bytes[2] % 16U, pid, around(1), around(2)}});
        break;
      case 3:
        correlator_.on(Event{now_, MemoryReclaim{.pid = pid, .tid = tid, .begin = around(1), .end = around(3)}});
        break;
      default: {
        ThreadRun run{.pid = pid,
                      .tid = tid,
                      .ending = static_cast<ThreadRun::Ending>(bytes[1] / 4 % 4),
                      .wait = static_cast<ThreadRun::Wait>(bytes[2] / 8 % 11),
                      .slept = around(1),
                      .woken = around(2),
                      .begin = around(3),
                      .end = now_,
                      .waker_pid = pid,
                      .waker_tid = bytes[1] % 5,
                      .ran = std::chrono::milliseconds(bytes[1]),
                      .delayed = std::chrono::milliseconds(bytes[2])};
        if (bytes[1] > 128) run.longest_delay = ThreadRun::Delay{around(2), around(4), bytes[2], "hog"};
        correlator_.on(Event{now_, run});
        break;
      }
    }
  }

  void open(std::span<const std::uint8_t> bytes, Pid pid) {
    const std::uint64_t id = bytes[2] % 16;
    if (calls_.contains(id) || !used_.insert(id).second) return;
    Call& call = calls_[id];
    const bool client = (bytes[3] & 1U) != 0;
    const Endpoint from{Family::ipv4, "127.0.0.1", static_cast<std::uint16_t>(1 + bytes[3] / 32)};
    const Endpoint to{Family::ipv4, (bytes[3] & 2U) != 0 ? "127.0.0.1" : "::ffff:127.0.0.1", 80};
    Connection connection =
        test::tcp_connection(id, pid, client ? Role::client : Role::server, client ? from : to, client ? to : from);
    connection.mid_stream = (bytes[3] & 4U) != 0;
    call.exchange.connection = std::make_shared<const Connection>(connection);
    call.exchange.role = connection.role;
    call.exchange.pid = pid;
    call.exchange.tid = pid;
    call.exchange.request.begin = now_;
    call.exchange.request.method = "POST";
    call.exchange.request.target = (bytes[3] & 8U) != 0 ? "/a" : "/b\xff";
    if ((bytes[3] & 16U) != 0) {
      std::string parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
      parent[40] = static_cast<char>(bytes[1]);
      call.exchange.request.headers.push_back({"traceparent", parent});
    }
    if ((bytes[0] & 16U) != 0) call.call.dialect = call.call.operation = "chat";
    send(CallUpdate::Kind::opened, call);
  }

  void advance(std::span<const std::uint8_t> bytes) {
    const auto found = calls_.find(bytes[2] % 16);
    if (found == calls_.end()) return;
    Call& call = found->second;
    if (bytes[0] % 8 == 5) {
      call.exchange.request.end = now_;
      call.exchange.request.body_hash = bytes[3] % 4;
      call.exchange.request.body_bytes = 10;
      send(CallUpdate::Kind::request, call);
    } else if (bytes[0] % 8 == 6) {
      if (!call.exchange.response.begin) call.exchange.response.begin = now_;
      call.exchange.response.status = bytes[3] < 200 ? 200 : 500;
      if (!call.call.first_token) call.call.first_token = call.call.first_event = now_;
      call.call.last_token = now_;
      call.call.token_times.push_back(now_);
      call.call.usage.output_tokens = bytes[3] == 1 ? UINT64_MAX : ++call.call.response.content_events;
      send(CallUpdate::Kind::token, call);
    } else {
      if ((bytes[3] & 8U) != 0) {
        call.exchange.gaps.push_back({Direction::sent, static_cast<Gap::Reason>(bytes[1] % 6), 0, bytes[1]});
        call.exchange.gaps_total += 1 + bytes[1] % 2;
      }
      call.exchange.ending = static_cast<Exchange::Ending>(1 + bytes[3] % 7);
      send(CallUpdate::Kind::closed, call);
      calls_.erase(found);
    }
  }

  void send(CallUpdate::Kind kind, Call& call) {
    correlator_.on(CallUpdate{kind, call.call, call.exchange, now_}, [&](const RequestTrace& trace) {
      const std::string json = to_json(trace, true);
      require(kind == CallUpdate::Kind::closed && trace.outcome != Outcome::in_flight);
      check(trace, json);
      out_ += json;
    });
  }

  correlate::Correlator correlator_{{.open_calls = 6, .processes = 2, .links = 8}};
  std::map<std::uint64_t, Call> calls_{};
  std::set<std::uint64_t> used_{};
  Time now_ = test::at_ms(1000);
  std::string out_{};
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::span<const std::uint8_t> program(data, size);
  require(Player().play(program) == Player().play(program));
  return 0;
}
