// SPDX-License-Identifier: Apache-2.0
// Times shifted against what this server and model usually take under the same load: time per output token, judged in
// short windows while requests are open, and time to first token, judged with each first token.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "detect/cause.h"
#include "detect/cusum.h"
#include "detect/detector.h"
#include "model/text.h"
#include "model/time_math.h"

namespace inferscope::detect {
namespace {

constexpr Duration window_least = std::chrono::milliseconds(500);
constexpr Duration window_most = std::chrono::seconds(3);
constexpr std::size_t window_tokens = 4;
constexpr std::size_t window_tokens_most = 4096;
/// Shifts below this are real but nobody's trouble.
constexpr double told_ratio = 1.25;
constexpr double over_ratio = 1.15;
constexpr int calm_windows = 2;
/// A single one is what is left of the batch while others' prompts are read.
constexpr int out_of_date_after = 12;
constexpr Duration no_load_after = std::chrono::seconds(15);
/// What has lasted for so long is usual from now on.
constexpr Duration new_normal_after = std::chrono::minutes(15);
/// A host on which somebody is always in the way has nothing better to be judged by.
constexpr Duration always_disturbed_after = std::chrono::minutes(10);
constexpr const char* per_token_topic = "time_per_output_token";
constexpr const char* first_token_topic = "time_to_first_token";

double median_of(std::vector<double>& values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

/// Token gaps of one model on one server since `begin`, and what the server worked on meanwhile, at each tick. What it
/// works on at the end says little: the requests of a batch like to end together.
struct Window {
  std::optional<Time> begin{};
  std::vector<double> gaps{};
  std::vector<Load> loads{};

  [[nodiscard]] const Load& middle_load() {
    const auto middle = loads.begin() + static_cast<std::ptrdiff_t>(loads.size() / 2);
    std::nth_element(loads.begin(), middle, loads.end(),
                     [](const Load& a, const Load& b) { return a.concurrency < b.concurrency; });
    return *middle;
  }
};

/// One measure of one model on one server.
struct Series {
  Cusum cusum{};
  int calm = 0;       ///< values in a row that are nothing special
  int low = 0;        ///< values in a row that are far below usual
  Time last{};        ///< newest value
  double ratio = 1;   ///< of the newest value to usual
  Time high_since{};  ///< the first of the values that led to the shift
  bool high = false;
};

class SlowDetector : public Detector {
 public:
  void on_token(Server& server, OpenRequest& request, double gap, Context& context) override {
    State& state = states_[key_of(server)];
    if (gap <= 0) {
      if (!request.streams || !request.ready || server.blind_since(request.begin)) return;
      const double seconds = to_seconds(elapsed(request.begin, context.now));
      judge(server, state, first_token_topic, request.model, request.load, seconds,
            server.baselines[request.model].first_token, context);
      return;
    }
    Window& window = state.windows[request.model];
    if (!window.begin) window.begin = context.now;
    if (window.gaps.size() < window_tokens_most) window.gaps.push_back(gap);
  }

  void on_exited(Server& server, const ProcessExited& /*exited*/, Context& /*context*/) override {
    states_.erase(key_of(server));
  }

  void tick(Server& server, Context& context) override {
    const auto found = states_.find(key_of(server));
    if (found == states_.end()) return;
    State& state = found->second;
    for (auto& [model, window] : state.windows) {
      if (!window.begin) continue;
      window.loads.push_back(load_of(server, model));
      const Duration length = elapsed(*window.begin, context.now);
      if (length < window_least || (window.gaps.size() < window_tokens && length < window_most)) continue;
      if (!window.gaps.empty() && !server.blind_since(*window.begin)) {
        const double median = median_of(window.gaps);
        judge(server, state, per_token_topic, model, window.middle_load(), median, server.baselines[model].per_token,
              context);
      }
      window = {};
    }
    for (auto& [topic, series] : state.series) watch_over(server, topic, series, context);
  }

 private:
  using Key = std::pair<Pid, std::uint64_t>;
  struct State {
    std::map<std::string, Window> windows{};  ///< by model
    std::map<std::string, Series> series{};   ///< by topic and model
    std::optional<Time> calm{};               ///< when nothing disturbed the server, last
  };

  /// What is measured while others hold the processor, or the server is held itself, is not what is usual.
  static bool undisturbed(const Server& server, State& state, Time now) {
    const bool calm = explain(server, now).kind <= Cause::Kind::none;
    if (calm || !state.calm) state.calm = now;
    return calm || elapsed(*state.calm, now) > always_disturbed_after;
  }

  static Key key_of(const Server& server) { return {server.process.pid, server.process.start_time_ns}; }

  /// What the server works on now.
  static Load load_of(const Server& server, const std::string& model) {
    Load load{0, 0};
    for (const auto& [key, request] : server.requests) {
      if (!request.ready) continue;
      ++load.concurrency;
      if (request.model == model) load.prompt_bytes = std::max(load.prompt_bytes, request.load.prompt_bytes);
    }
    load.concurrency = std::max<std::size_t>(load.concurrency, 1);
    return load;
  }

  static void judge(Server& server, State& state, const char* measure, const std::string& model, const Load& load,
                    double seconds, LoadBaseline& baseline, Context& context) {
    const std::string topic = model.empty() ? measure : fmt::format("{} {}", measure, model);
    Series& series = state.series[topic];
    const auto usual = baseline.usual(load);
    const bool learns = undisturbed(server, state, context.now);
    if (!usual) {
      if (learns) baseline.learn(load, seconds);
      return;
    }
    const double z = usual->residual(seconds);
    series.cusum.add(z);
    series.last = context.now;
    series.ratio = seconds / usual->seconds;
    if (series.ratio <= told_ratio) series.high = false;
    if (series.ratio > told_ratio && !std::exchange(series.high, true)) series.high_since = context.now;
    series.calm = series.ratio < over_ratio ? series.calm + 1 : 0;
    series.low = series.ratio * told_ratio < 1 ? series.low + 1 : 0;
    Finding* finding = context.book.find(Finding::Kind::slow, server, topic);
    if (finding) {
      finding->measure = {seconds, usual->seconds, "s", context.now};
      if (series.calm < calm_windows) {
        context.book.changed(*finding, true);
        return;
      }
      context.book.close(*finding, "back to usual");
      series.cusum.reset();
    } else if (series.cusum.shifted_up() && series.ratio > told_ratio) {
      open(server, topic, measure, model, load, seconds, *usual, series, context);
      return;
    } else if (series.cusum.shifted_down() && series.low >= out_of_date_after) {
      // Much faster than ever is nobody's trouble, but what was learned is out of date. Small drifts are learned.
      baseline.forget();
      series = {};
    }
    // What is far off must not become usual.
    if (learns && std::abs(z) < 4) baseline.learn(load, seconds);
  }

  static void open(Server& server, const std::string& topic, const char* measure, const std::string& model,
                   const Load& load, double seconds, const LoadBaseline::Usual& usual, const Series& series,
                   Context& context) {
    Finding draft{.kind = Finding::Kind::slow, .model = model, .begin = series.high_since};
    draft.measure = {seconds, usual.seconds, "s", context.now};
    draft.confidence = 0.7;
    draft.summary =
        fmt::format("{} of {}{}{} is {:.2f} times the usual: {:.1f} ms instead of {:.1f} ms",
                    measure == std::string_view(per_token_topic) ? "time per output token" : "time to first token",
                    clean_text(server.process.name, 64), model.empty() ? "" : " with ", clean_text(model, 64),
                    series.ratio, seconds * 1e3, usual.seconds * 1e3);
    draft.evidence = {{measure, seconds, usual.seconds, "s"},
                      {"usual_spread", usual.spread, {}, "1"},
                      {"concurrent_requests", static_cast<double>(load.concurrency), {}, "{request}"},
                      {"prompt_size", static_cast<double>(load.prompt_bytes), {}, "By"},
                      {"cumulative_sum", series.cusum.up(), {}, "1"}};
    Finding* finding = context.book.open(server, topic, std::move(draft), context.unix_minus_kernel_ns);
    if (!finding) return;
    for (auto& [key, request] : server.requests)
      if (request.model == model) context.book.concern(*finding, request);
    finding->requests_total = std::max<std::uint64_t>(finding->requests_total, server.requests.size());
    explain_anew(*finding, server, context.now);
    raise_confidence(*finding);
    context.book.changed(*finding);
  }

  static void raise_confidence(Finding& finding) {
    const bool explained = finding.cause.kind > Cause::Kind::none;
    if (explained) finding.confidence = std::max(finding.confidence, finding.cause.share > 0.3 ? 0.9 : 0.8);
  }

  /// Between values: a cause that shows only now, the end of the load, a shift that stays.
  static void watch_over(Server& server, const std::string& topic, Series& series, Context& context) {
    Finding* finding = context.book.find(Finding::Kind::slow, server, topic);
    if (!finding) return;
    if (elapsed(series.last, context.now) > no_load_after) {
      context.book.lose_sight(*finding, "no load to judge it by");
    } else if (elapsed(finding->begin, context.now) > new_normal_after) {
      server.baselines.erase(finding->model);
      context.book.lose_sight(*finding, "it has become usual");
    } else if (explain_anew(*finding, server, context.now)) {
      raise_confidence(*finding);
      context.book.changed(*finding);
      return;
    } else {
      return;
    }
    series = {};
  }

  std::map<Key, State> states_{};
};

}  // namespace

std::unique_ptr<Detector> make_slow_detector() {
  return std::make_unique<SlowDetector>();
}

}  // namespace inferscope::detect
