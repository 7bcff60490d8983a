// SPDX-License-Identifier: Apache-2.0
// A server ended with requests in flight or by a fault, or it takes no connections any more.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "detect/cause.h"
#include "detect/detector.h"
#include "model/text.h"
#include "model/time_math.h"

namespace inferscope::detect {
namespace {

/// A request that was cut so shortly before its process ended was cut by that.
constexpr Duration cut_window = std::chrono::seconds(1);
/// A server that is not back by then is told as gone for good.
constexpr Duration wait_for_return = std::chrono::minutes(10);
constexpr std::size_t most_ended = 256;
/// Clients wait so long, and nobody accepted one meanwhile.
constexpr Duration not_accepting_after = std::chrono::seconds(2);
constexpr const char* accepting = "accepting";

class DownDetector : public Detector {
 public:
  void on_closed(Server& server, OpenRequest& request, const CallUpdate& update, Context& /*context*/) override {
    if (update.exchange.ending != Exchange::Ending::process_exited) return;
    Cut& cut = cut_[server.process.pid];
    if (elapsed(cut.time, update.time) > cut_window) cut = {};
    cut.time = update.time;
    if (cut.requests.size() < Finding::requests_kept) cut.requests.push_back(request);
    ++cut.total;
  }

  void on_exited(Server& server, const ProcessExited& exited, Context& context) override {
    Cut cut;
    if (const auto found = cut_.find(server.process.pid); found != cut_.end()) {
      if (elapsed(found->second.time, context.now) <= cut_window) cut = std::move(found->second);
      cut_.erase(found);
    }
    // An operator's orderly end of an idle server is no trouble; neither is that of a process that never served.
    const bool failed = exited.signal != 0 ? exited.signal != 15 && exited.signal != 2 : exited.exit_code != 0;
    if (cut.total == 0 && (!failed || server.calls == 0)) return;
    const std::string how = exited.signal != 0 ? fmt::format("killed by signal {}", exited.signal)
                                               : fmt::format("ended with exit code {}", exited.exit_code);
    Finding draft{.kind = Finding::Kind::down, .begin = context.now};
    draft.confidence = cut.total > 0 ? 1 : 0.9;
    draft.summary = fmt::format("{} (pid {}) {} with {} requests in flight", clean_text(server.process.name, 64),
                                server.process.pid, how, cut.total);
    draft.measure = {2, 1, "1", context.now};
    draft.evidence = {{"requests_cut", static_cast<double>(cut.total), 0.0, "{request}"}};
    draft.cause = {Cause::Kind::exited, 1, {}, fmt::format("process {} was {}", server.process.pid, how)};
    draft.requests_total = cut.total;
    const std::string topic = fmt::format("exit {}", server.process.pid);
    Finding* finding = context.book.open(server, topic, std::move(draft), context.unix_minus_kernel_ns);
    if (!finding) return;
    for (const OpenRequest& request : cut.requests) context.book.concern(*finding, request);
    context.book.changed(*finding);
    if (ended_.size() < most_ended) ended_.push_back({server, topic, context.now});
  }

  void on_started(const ProcessStarted& started, Context& context) override {
    for (auto it = ended_.begin(); it != ended_.end();) {
      const bool back = !started.executable.empty() && started.executable == it->server.process.executable;
      if (back) close(*it, fmt::format("it is back as process {}", started.pid), context);
      it = back ? ended_.erase(it) : std::next(it);
    }
  }

  void tick(Context& context) override {
    while (!ended_.empty() && elapsed(ended_.front().time, context.now) > wait_for_return) {
      const Ended& gone = ended_.front();
      if (Finding* finding = context.book.find(Finding::Kind::down, gone.server, gone.topic))
        context.book.lose_sight(*finding, "it did not come back");
      ended_.erase(ended_.begin());
    }
  }

  void tick(Server& server, Context& context) override {
    Finding* finding = context.book.find(Finding::Kind::down, server, accepting);
    // Of a stopped one it is a stall.
    const Cause::Kind held = explain(server, context.now).kind;
    const bool stalled = held == Cause::Kind::stopped || held == Cause::Kind::frozen;
    const double waiting = stalled ? 0 : not_accepted(server, context.now);
    if (waiting == 0) {
      if (finding) context.book.close(*finding, "connections are accepted again");
      return;
    }
    const bool fresh = !finding;
    if (fresh) {
      Finding draft{.kind = Finding::Kind::down, .begin = begin_of_wait(server)};
      draft.confidence = 0.8;
      draft.summary =
          fmt::format("{} accepts no connections; clients that wait: {}", clean_text(server.process.name, 64), waiting);
      finding = context.book.open(server, accepting, std::move(draft), context.unix_minus_kernel_ns);
    }
    if (!finding) return;
    finding->measure = {2, 1, "1", context.now};
    finding->evidence = {{"waiting_connections", waiting, 0.0, "{connection}"}};
    const bool more = explain_anew(*finding, server, context.now);
    context.book.changed(*finding, !fresh && !more);
  }

 private:
  struct Cut {
    Time time{};
    std::vector<OpenRequest> requests{};
    std::uint64_t total = 0;
  };
  struct Ended {
    Server server{};
    std::string topic{};
    Time time{};
  };

  static void close(const Ended& ended, const std::string& how, Context& context) {
    if (Finding* finding = context.book.find(Finding::Kind::down, ended.server, ended.topic))
      context.book.close(*finding, how);
  }

  static Time begin_of_wait(const Server& server) {
    Time begin = server.samples.back().first;
    for (auto it = server.samples.rbegin(); it != server.samples.rend() && it->second.waiting_connections > 0; ++it)
      begin = it->first;
    return begin;
  }

  /// Clients that wait at the listener for so long that the server does not accept; else 0.
  static double not_accepted(const Server& server, Time now) {
    if (server.samples.empty() || server.samples.back().second.waiting_connections == 0) return 0;
    const Time begin = begin_of_wait(server);
    if (elapsed(begin, now) < not_accepting_after || (server.last_accept && *server.last_accept >= begin)) return 0;
    return server.samples.back().second.waiting_connections;
  }

  std::map<Pid, Cut> cut_{};
  std::vector<Ended> ended_{};  ///< servers whose return is waited for, oldest first
};

}  // namespace

std::unique_ptr<Detector> make_down_detector() {
  return std::make_unique<DownDetector>();
}

}  // namespace inferscope::detect
