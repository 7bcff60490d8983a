// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "correlate/correlator.h"
#include "tests/support/exchange_script.h"

namespace inferscope::correlate {

/// A correlator fed with exchanges, each taken for a chat call, and the traces that came out of it.
struct RecordedTraces {
  Correlator correlator;
  std::vector<RequestTrace> traces{};
  std::map<ConnectionId, std::string> asked{};  ///< the last text of prompts

  explicit RecordedTraces(Limits limits = {}) : correlator(limits) {}

  void process(Pid pid, std::string_view name, std::uint64_t start_time_ns = 1, Time time = test::at_ms(0)) {
    ProcessStarted started;
    started.pid = pid;
    started.name = name;
    started.start_time_ns = start_time_ns;
    correlator.on(Event{time, started});
  }

  /// The sink for one exchange; `call` is what an interpreter would make of it.
  test::ExchangeScript::Sink sink(InferenceCall call = chat_call()) {
    return [this, call](const ExchangeUpdate& update) mutable { feed(update, call); };
  }
  test::ExchangeScript script(const Connection& connection, std::uint64_t sequence = 0) {
    return test::ExchangeScript(sink(), connection, sequence);
  }
  test::ExchangeScript server(std::uint64_t sequence = 0, InferenceCall call = chat_call()) {
    return test::ExchangeScript(sink(std::move(call)),
                                test::tcp_connection(1, 100, Role::server, {Family::ipv4, "127.0.0.1", 8080},
                                                     {Family::ipv4, "127.0.0.1", 50000}),
                                sequence);
  }

  [[nodiscard]] const RequestTrace& trace(ConnectionId connection = 1) const {
    for (const RequestTrace& trace : traces)
      if (trace.connection.id == connection) return trace;
    static const RequestTrace none{};
    return none;
  }

  static InferenceCall chat_call() {
    InferenceCall call;
    call.dialect = "openai";
    call.operation = "chat";
    call.request.model = "m";
    return call;
  }

 private:
  void feed(const ExchangeUpdate& update, InferenceCall& call) {
    using From = ExchangeUpdate::Kind;
    using To = CallUpdate::Kind;
    const auto send = [&](To kind) {
      const std::string_view text = kind == To::request ? asked[update.exchange.connection->id] : std::string_view();
      correlator.on(CallUpdate{kind, call, update.exchange, update.time, text},
                    [this](const RequestTrace& trace) { traces.push_back(trace); });
    };
    if (update.kind == From::request_head) send(To::opened);
    if (update.kind == From::request_end) send(To::request);
    if (update.kind == From::response_message) {
      if (!call.first_token) call.first_event = call.first_token = update.time;
      call.last_token = update.time;
      call.token_times.push_back(update.time);
      call.usage.output_tokens = ++call.response.content_events;
      call.usage.source = InferenceCall::CountSource::events;
      send(To::token);
    }
    if (update.kind == From::closed) send(To::closed);
  }
};

}  // namespace inferscope::correlate
