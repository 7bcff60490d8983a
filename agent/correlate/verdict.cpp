// SPDX-License-Identifier: Apache-2.0
#include "correlate/verdict.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <string_view>

#include "model/time_math.h"

namespace inferscope::correlate {
namespace {

using Ending = Exchange::Ending;
using Reason = Gap::Reason;

constexpr std::size_t reasons = static_cast<std::size_t>(Reason::mid_stream) + 1;

bool is_response(const Exchange& exchange, Direction direction) {
  return (direction == Direction::sent) == (exchange.role != Role::client);
}

bool has_gap(const Exchange& exchange, bool response) {
  return std::any_of(exchange.gaps.begin(), exchange.gaps.end(),
                     [&](const Gap& gap) { return is_response(exchange, gap.direction) == response; });
}

/// The framing says that it is complete, and yet there is less than was declared.
bool is_short(const Exchange& exchange) {
  const auto& response = exchange.response;
  if (exchange.request.method == "HEAD" || response.status < 200 || response.status == 204 || response.status == 304)
    return false;
  if (exchange.gaps_total != 0 || !exchange.gaps.empty()) return false;
  const std::string_view text = find_header(response.headers, "content-length");
  std::uint64_t declared = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), declared);
  return error == std::errc() && end == text.data() + text.size() && !text.empty() && response.body_bytes < declared;
}

std::string describe(std::uint64_t bytes, bool response, Reason reason) {
  const std::string_view what = response ? "the response" : "the request";
  std::string text;
  if (reason == Reason::mid_stream) return "the beginning of " + std::string(what) + " was before inferscope watched";
  text = bytes == 0 ? "an unknown part" : std::to_string(bytes) + (bytes == 1 ? " byte" : " bytes");
  text.append(" of ").append(what).append(bytes <= 1 ? " was " : " were ");
  switch (reason) {
    case Reason::lost:
      text += "lost by the kernel ring";
      break;
    case Reason::not_captured:
      text += "beyond the capture limit";
      break;
    case Reason::unreadable:
      text += "not readable from the process";
      break;
    case Reason::limit:
      text += "beyond a limit of the parser";
      break;
    case Reason::malformed:
      text += "not the protocol";
      break;
    case Reason::mid_stream:
      break;
  }
  return text;
}

void add(std::string& text, std::string_view part) {
  if (!text.empty()) text += "; ";
  text += part;
}

}  // namespace

Outcome outcome_of(const Exchange& exchange, const InferenceCall& call) {
  if (exchange.ending == Ending::open) return Outcome::in_flight;
  // What the server said about the request outweighs how the connection went on.
  if (exchange.response.status >= 400 || call.failure) return Outcome::error;
  switch (exchange.ending) {
    case Ending::complete:
      return is_short(exchange) ? Outcome::truncated : Outcome::ok;
    case Ending::upgraded:
      return Outcome::ok;
    case Ending::client_closed:
      return Outcome::client_cancelled;
    case Ending::server_closed:
      return Outcome::error;
    case Ending::process_exited:
      return exchange.role == Role::client ? Outcome::client_cancelled : Outcome::error;
    case Ending::lost_track:
    case Ending::shut_down:
    case Ending::open:
      break;
  }
  return Outcome::truncated;
}

std::string loss_of(const Exchange& exchange, const InferenceCall& call) {
  struct Loss {
    bool any = false;
    std::uint64_t bytes = 0;
  };
  std::array<std::array<Loss, reasons>, 2> losses{};
  for (const Gap& gap : exchange.gaps) {
    const auto reason = static_cast<std::size_t>(gap.reason);
    if (reason >= reasons) continue;
    Loss& loss = losses[is_response(exchange, gap.direction) ? 1 : 0][reason];
    loss.any = true;
    loss.bytes += gap.bytes;
  }
  std::string text;
  for (std::size_t side = 0; side < losses.size(); ++side)
    for (std::size_t reason = 0; reason < reasons; ++reason)
      if (losses[side][reason].any)
        add(text, describe(losses[side][reason].bytes, side == 1, static_cast<Reason>(reason)));
  if (exchange.gaps_total > exchange.gaps.size())
    add(text, std::to_string(exchange.gaps_total - exchange.gaps.size()) + " more gaps");

  if (exchange.ending == Ending::lost_track) add(text, "the end was not seen");
  if (exchange.ending == Ending::shut_down) add(text, "inferscope stopped watching before the end");
  if (exchange.ending == Ending::open) return text;
  if (call.request.incomplete && !call.request.malformed && exchange.request.end && !has_gap(exchange, false))
    add(text, "the request's JSON could not be read as a whole");
  if (call.response.incomplete && exchange.ending == Ending::complete && !has_gap(exchange, true))
    add(text, "the response's JSON could not be read as a whole");
  if (exchange.ending == Ending::complete && is_short(exchange))
    add(text, "the response was shorter than its length said");
  return text;
}

void derive_durations(RequestTrace& trace) {
  const Exchange& exchange = trace.exchange;
  const InferenceCall& call = trace.call;
  trace.time_to_first_byte.reset();
  trace.time_to_first_event.reset();
  trace.time_to_first_token.reset();
  trace.time_per_output_token.reset();
  if (!exchange.request.begin) return;
  const auto since_begin = [&](const std::optional<Time>& time) -> std::optional<Duration> {
    if (!time || *time < *exchange.request.begin) return std::nullopt;
    return elapsed(*exchange.request.begin, *time);
  };
  trace.time_to_first_byte = since_begin(exchange.response.begin);
  trace.time_to_first_event = since_begin(call.first_event);
  if (call.is_session()) return;  // its times between tokens are also the user's
  trace.time_to_first_token = since_begin(call.first_token);

  // A gap in the stream may hide the first or the last token.
  if (trace.outcome != Outcome::ok || call.response.incomplete || has_gap(exchange, true)) return;
  const auto tokens = call.usage.output_tokens;
  if (!tokens || *tokens < 2 || !call.first_token || !call.last_token || *call.last_token <= *call.first_token) return;
  // Not more than fits: a count that the server made up must not divide by a negative number.
  const auto steps = static_cast<std::int64_t>(std::min<std::uint64_t>(*tokens - 1, INT64_MAX));
  trace.time_per_output_token = elapsed(*call.first_token, *call.last_token) / steps;
}

}  // namespace inferscope::correlate
