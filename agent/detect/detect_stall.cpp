// SPDX-License-Identifier: Apache-2.0
// An open request gets no tokens: for many times its own interval when nothing explains it, sooner when the host's
// facts do, and as soon as it is noticed when the process is stopped or frozen.
#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "detect/cause.h"
#include "detect/detector.h"
#include "model/text.h"
#include "model/time_math.h"

namespace inferscope::detect {
namespace {

/// Silence that is a stall when the process is stopped or frozen: such a process cannot do anything, so it only has to
/// outlast what a debugger or a snapshot does in passing.
constexpr double held_least = 0.3;
constexpr double held_gaps = 3;
/// When its processor time explains it.
constexpr double explained_least = 0.6;
constexpr double explained_gaps = 8;
/// When nothing does. Prompts of other requests in the batch may pause the tokens of all, hence the server's own tail.
constexpr double unexplained_least = 3;
constexpr double unexplained_gaps = 20;
constexpr double unexplained_tail = 4;
/// The first token of a request, when such requests are known, and while they are not.
constexpr double first_token_tail = 3;
constexpr double first_token_least = 3;
constexpr double first_token_unlearned = 60;
constexpr std::uint32_t gaps_needed = 50;
constexpr double starved_share = 0.5;

bool held(const Cause& cause) {
  return cause.kind == Cause::Kind::stopped || cause.kind == Cause::Kind::frozen;
}
bool starved(const Cause& cause) {
  return cause.share > starved_share &&
         (cause.kind == Cause::Kind::throttled || cause.kind == Cause::Kind::cpu_contention);
}

struct Silence {
  OpenRequest* request = nullptr;
  Time since{};
  double seconds = 0;
  double limit = 0;
};

/// How long a request may be silent, in seconds.
double limit_between_tokens(const Server& server, const OpenRequest& request, const Cause& cause) {
  const bool known = server.gaps.count() >= gaps_needed;
  const double gap = request.usual_gap > 0 ? request.usual_gap : server.gaps.quantile(0.5);
  if (held(cause)) return std::max(held_least, held_gaps * gap);
  if (starved(cause))
    return std::max({explained_least, explained_gaps * gap, known ? server.gaps.quantile(0.99) : 2.0});
  return std::max({unexplained_least, unexplained_gaps * gap,
                   known ? unexplained_tail * server.gaps.quantile(0.999) : first_token_unlearned / 4});
}

double limit_for_first_token(const Server& server, const OpenRequest& request, const Cause& cause) {
  if (held(cause)) return held_least;
  if (!request.streams) return 10 * first_token_unlearned;  // its whole answer comes at once
  const auto model = server.baselines.find(request.model);
  const auto usual =
      model == server.baselines.end() ? std::nullopt : model->second.first_token.quantile(request.load, 0.99);
  if (!usual) return first_token_unlearned;
  return std::max(first_token_least, first_token_tail * *usual);
}

class StallDetector : public Detector {
 public:
  void tick(Server& server, Context& context) override {
    Finding* finding = context.book.find(Finding::Kind::stall, server, "");
    const double waiting = clients_of_held(server);
    if (server.requests.empty() && waiting == 0 && !finding) return;
    const Cause cause = explain(server, context.now);
    std::size_t working = 0;
    std::vector<Silence> silent = silences(server, cause, context.now, working);
    if (silent.empty() && waiting > 0) {
      if (!finding) turned_away(server, cause, waiting, context);
      return;
    }
    if (silent.empty()) {
      if (finding) context.book.close(*finding, "tokens flow again or the requests ended");
      return;
    }
    const auto longest = std::max_element(silent.begin(), silent.end(),
                                          [](const auto& a, const auto& b) { return a.seconds < b.seconds; });
    const bool fresh = !finding;
    if (fresh) finding = context.book.open(server, "", draft(server, cause, *longest), context.unix_minus_kernel_ns);
    if (!finding) return;
    const std::size_t before = finding->requests.size();
    for (const Silence& one : silent) context.book.concern(*finding, *one.request);
    finding->requests_total = std::max<std::uint64_t>(finding->requests_total, silent.size());
    // 1 + the share of open requests that are stalled: unlike the silence itself, it does not grow while nothing
    // changes. Those of a process that is held are stalled all at once, also where their silence is still short.
    const auto stalled = static_cast<double>(held(cause) ? working : silent.size());
    finding->measure = {1 + stalled / static_cast<double>(working), 1, "1", context.now};
    finding->gap = finding->gap || server.blind_since(finding->begin);
    const bool more = explain_anew(*finding, server, context.now);
    if (more) finding->confidence = confidence_of(finding->cause);
    context.book.changed(*finding, !fresh && !more && finding->requests.size() == before);
  }

 private:
  static std::vector<Silence> silences(Server& server, const Cause& cause, Time now, std::size_t& working) {
    std::vector<Silence> silent;
    for (auto& [key, request] : server.requests) {
      if (!request.ready) continue;
      ++working;
      const bool begun = request.last_token.has_value();
      const Time since = std::max(request.last_token.value_or(*request.ready), *request.ready);
      const double limit =
          begun ? limit_between_tokens(server, request, cause) : limit_for_first_token(server, request, cause);
      const double seconds = to_seconds(elapsed(since, now));
      if (seconds > limit) silent.push_back({&request, since, seconds, limit});
    }
    return silent;
  }

  /// Clients that wait to be accepted by a process that has been stopped or frozen for some time; 0: none.
  static double clients_of_held(const Server& server) {
    if (server.samples.empty()) return 0;
    const auto& [newest, last] = server.samples.back();
    Time since = newest;
    for (auto it = server.samples.rbegin(); it != server.samples.rend() && it->second.held(); ++it) since = it->first;
    return to_seconds(elapsed(since, newest)) >= held_least ? last.waiting_connections : 0;
  }

  /// No request is in flight, but those that come are not even taken.
  static void turned_away(const Server& server, const Cause& cause, double waiting, Context& context) {
    Finding draft{.kind = Finding::Kind::stall, .begin = server.samples.back().first};
    draft.confidence = confidence_of(cause);
    draft.cause = cause;
    draft.measure = {2, 1, "1", context.now};
    draft.summary =
        fmt::format("{} takes no requests; clients that wait: {}", clean_text(server.process.name, 64), waiting);
    draft.evidence = {{"waiting_connections", waiting, 0.0, "{connection}"}};
    if (Finding* finding = context.book.open(server, "", std::move(draft), context.unix_minus_kernel_ns))
      context.book.changed(*finding);
  }

  static double confidence_of(const Cause& cause) {
    if (held(cause)) return 0.98;
    return starved(cause) ? 0.85 : 0.7;
  }

  static Finding draft(const Server& server, const Cause& cause, const Silence& longest) {
    Finding finding{.kind = Finding::Kind::stall, .model = longest.request->model, .begin = longest.since};
    finding.confidence = confidence_of(cause);
    finding.cause = cause;
    finding.summary = fmt::format("{} gives no tokens for {:.2f} s, {:.2f} s is its limit now",
                                  clean_text(server.process.name, 64), longest.seconds, longest.limit);
    finding.evidence = {{"time_since_last_token", longest.seconds, longest.limit, "s"},
                        {"usual_inter_token_latency", longest.request->usual_gap, {}, "s"},
                        {"open_requests", static_cast<double>(server.requests.size()), {}, "{request}"}};
    return finding;
  }
};

}  // namespace

std::unique_ptr<Detector> make_stall_detector() {
  return std::make_unique<StallDetector>();
}

}  // namespace inferscope::detect
