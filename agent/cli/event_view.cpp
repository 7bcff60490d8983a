// SPDX-License-Identifier: Apache-2.0
#include "cli/event_view.h"

#include <fmt/format.h>

#include <array>

#include "model/text.h"
#include "model/time_math.h"

namespace inferscope::cli {
namespace {

constexpr std::array role_names{"unknown", "client", "server"};
constexpr std::array close_reasons{"closed", "reset", "process exited", "forgotten"};
constexpr std::array cut_names{"", "transfer limit", "connection limit", "switched off", "unreadable", "fault"};

const char* name_of(Direction direction) {
  return direction == Direction::received ? "received" : "sent";
}

std::string text_of(const Endpoint& endpoint) {
  return endpoint.family == Family::unix_stream ? "unix:" + endpoint.address
                                                : fmt::format("{}:{}", endpoint.address, endpoint.port);
}

struct Describe {
  std::string operator()(const ProcessStarted& body) const {
    return fmt::format("process {} started: {} ({})", body.pid, body.name, body.reason);
  }
  std::string operator()(const ProcessExited& body) const {
    return fmt::format("process {} exited: code {}, signal {}", body.pid, body.exit_code, body.signal);
  }
  std::string operator()(const ConnectionOpened& body) const {
    const Connection& connection = body.connection;
    return fmt::format("connection {} opened: {} of process {}, {} <- {}{}", connection.id,
                       role_names[static_cast<std::size_t>(connection.role)], connection.pid, text_of(connection.local),
                       text_of(connection.remote), connection.mid_stream ? ", was open before" : "");
  }
  std::string operator()(const ConnectionHalfClosed& body) const {
    return fmt::format("connection {} {} side ended", body.id, name_of(body.direction));
  }
  std::string operator()(const ConnectionClosed& body) const {
    return fmt::format("connection {} {}: {} bytes received, {} sent", body.id,
                       close_reasons[static_cast<std::size_t>(body.reason)], body.received_bytes, body.sent_bytes);
  }
  std::string operator()(const Transfer& body) const {
    const char* cut = cut_names[static_cast<std::size_t>(body.cut)];
    return fmt::format("connection {} {} {} bytes at {} (thread {}, took {} us){}{}", body.connection,
                       name_of(body.direction), body.length, body.position, body.tid,
                       elapsed(body.begin, body.end) / std::chrono::microseconds(1), *cut ? ", content cut: " : "",
                       cut);
  }
  std::string operator()(const EventsLost& body) const {
    return fmt::format("{} events lost: {}", body.count, body.reason);
  }
  std::string operator()(const ClockSet& body) const {
    return fmt::format("clock: Unix time is {} ns ahead", body.unix_minus_kernel_ns);
  }
  std::string operator()(const ProcessSample& body) const {
    const auto milliseconds = [](Duration duration) { return fmt::format("{:.1f}", to_seconds(duration) * 1e3); };
    const std::string rival =
        body.rival ? fmt::format(", its processor used by {} (pid {}) for {} ms", body.rival->process.name,
                                 body.rival->process.pid, milliseconds(body.rival->ran))
                   : std::string();
    return fmt::format(
        "process {} state {}{}: in {} ms thread {} ran {} ms, waited {} ms; throttled {} ms; {} "
        "connections not accepted{}",
        body.process.pid, body.state, body.frozen ? " (frozen)" : "", milliseconds(body.interval), body.thread,
        milliseconds(body.ran), milliseconds(body.waited), milliseconds(body.throttled), body.waiting_connections,
        rival);
  }
};

}  // namespace

std::string event_line(const Event& event) {
  // Names and paths may hold anything, and terminals obey what they are sent.
  return fmt::format("{:.6f} {}", to_seconds(event.time.time_since_epoch()),
                     clean_text(std::visit(Describe{}, event.body), 16384));
}

}  // namespace inferscope::cli
