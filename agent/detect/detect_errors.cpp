// SPDX-License-Identifier: Apache-2.0
// A burst of failed requests against the server's usual rate: the cumulative sum of log-likelihood ratios of a
// Bernoulli series (Page's test between the usual rate and a much larger one).
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <deque>
#include <map>
#include <utility>

#include "detect/cause.h"
#include "detect/detector.h"
#include "model/text.h"
#include "model/time_math.h"

namespace inferscope::detect {
namespace {

constexpr double least_rate = 0.005;  ///< nobody's usual rate is told to be better than this
constexpr double burst_rate = 0.3;    ///< the alternative, or five times the usual rate
constexpr double threshold = 9;       ///< three failures in a row at the least rate
constexpr std::size_t recent_kept = 20;
constexpr double fading = 1.0 / 300;  ///< of the usual rate, per request
constexpr Duration calm_after = std::chrono::seconds(30);
constexpr Duration stale_after = std::chrono::seconds(60);

/// A failure of the server's. Malformed and refused requests (4xx) are the client's, but 408 and 429 say that the
/// server cannot keep up.
bool is_failure(const RequestTrace& trace) {
  const int status = trace.exchange.response.status;
  if (status >= 400 && status < 500) return status == 408 || status == 429;
  // That its process ended is another finding.
  return trace.exchange.ending != Exchange::Ending::process_exited &&
         (trace.outcome == Outcome::error || trace.exchange.ending == Exchange::Ending::server_closed);
}

class ErrorDetector : public Detector {
 public:
  void on_trace(Server& server, const RequestTrace& trace, Context& context) override {
    State& state = states_[{server.process.pid, server.process.start_time_ns}];
    if (!trace.complete && trace.exchange.response.status == 0) return;  // its end was not seen, so nothing is known
    const bool failed = is_failure(trace);
    if (elapsed(state.last, context.now) > stale_after) state.sum = 0;  // old failures are no burst
    state.last = context.now;
    state.recent.push_back(failed);
    if (state.recent.size() > recent_kept) state.recent.pop_front();
    const double usual = std::max(state.usual, least_rate);
    const double burst = std::min(std::max(burst_rate, 5 * usual), 0.9);
    state.sum = std::max(0.0, state.sum + (failed ? std::log(burst / usual) : std::log((1 - burst) / (1 - usual))));
    state.sum = std::min(state.sum, 2 * threshold);
    if (failed) {
      if (state.sum <= std::log(burst / usual)) state.begin = context.now;
      state.last_failure = context.now;
    }
    Finding* finding = context.book.find(Finding::Kind::errors, server, "");
    if (!finding) {
      state.usual += fading * ((failed ? 1.0 : 0.0) - state.usual);
      if (state.sum <= threshold) return;
      finding = open(server, state, trace, usual, context);
      if (!finding) return;
    }
    OpenRequest request;
    request.ref = {trace.connection.id, trace.exchange.sequence, trace.trace_id, trace.span_id};
    if (failed) context.book.concern(*finding, request);
    finding->measure = {rate_of(state), usual, "1", context.now};
    context.book.changed(*finding, !failed);
  }

  void on_exited(Server& server, const ProcessExited& /*exited*/, Context& /*context*/) override {
    states_.erase({server.process.pid, server.process.start_time_ns});
  }

  void tick(Server& server, Context& context) override {
    Finding* finding = context.book.find(Finding::Kind::errors, server, "");
    if (!finding) return;
    State& state = states_[{server.process.pid, server.process.start_time_ns}];
    if (elapsed(state.last_failure, context.now) < calm_after) return;
    context.book.close(*finding, "no failure for half a minute");
    state.sum = 0;
  }

 private:
  struct State {
    double usual = 0;
    double sum = 0;
    std::deque<bool> recent{};
    Time begin{};
    Time last{};
    Time last_failure{};
  };

  static double rate_of(const State& state) {
    return static_cast<double>(std::count(state.recent.begin(), state.recent.end(), true)) /
           static_cast<double>(std::max<std::size_t>(state.recent.size(), 1));
  }

  static Finding* open(Server& server, const State& state, const RequestTrace& trace, double usual, Context& context) {
    Finding draft{.kind = Finding::Kind::errors, .begin = state.begin};
    draft.confidence = 0.9;
    draft.measure = {rate_of(state), usual, "1", context.now};
    draft.summary = fmt::format("{} fails {:.0f} % of its requests, usual are {:.1f} %",
                                clean_text(server.process.name, 64), rate_of(state) * 100, usual * 100);
    const std::string type = trace.call.failure ? trace.call.failure->type : "";
    if (!type.empty()) draft.summary += fmt::format("; the last with {}", clean_text(type, 64));
    draft.evidence = {{"failure_rate", rate_of(state), usual, "1"},
                      {"requests_looked_at", static_cast<double>(state.recent.size()), {}, "{request}"},
                      {"http_status", static_cast<double>(trace.exchange.response.status), {}, "1"}};
    Finding* finding = context.book.open(server, "", std::move(draft), context.unix_minus_kernel_ns);
    if (finding) explain_anew(*finding, server, context.now);
    return finding;
  }

  std::map<std::pair<Pid, std::uint64_t>, State> states_{};
};

}  // namespace

std::unique_ptr<Detector> make_error_detector() {
  return std::make_unique<ErrorDetector>();
}

}  // namespace inferscope::detect
