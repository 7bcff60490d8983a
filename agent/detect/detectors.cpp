// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <memory>

#include "detect/cause.h"
#include "detect/detector.h"

namespace inferscope::detect {

std::unique_ptr<Detector> make_stall_detector();
std::unique_ptr<Detector> make_down_detector();
std::unique_ptr<Detector> make_slow_detector();
std::unique_ptr<Detector> make_error_detector();

Detectors make_detectors() {
  constexpr std::array makers{make_stall_detector, make_down_detector, make_slow_detector, make_error_detector};
  Detectors detectors;
  for (const auto make : makers) detectors.push_back(make());
  return detectors;
}

bool explain_anew(Finding& finding, const Server& server, Time now) {
  Cause cause = explain(server, now);
  // Who was named first stays named, unless another one explains much more: an action may already rest on it.
  const bool same_kind = cause.kind == finding.cause.kind;
  const bool other_culprit =
      same_kind && finding.cause.culprit && cause.culprit && cause.culprit->pid != finding.cause.culprit->pid;
  const double more = other_culprit ? 0.3 : 0.05;
  const bool says_more = cause.kind > Cause::Kind::none && (!same_kind || (cause.culprit && !finding.cause.culprit) ||
                                                            cause.share > finding.cause.share + more);
  const bool first_word = finding.cause.kind == Cause::Kind::unknown && cause.kind == Cause::Kind::none;
  if (!says_more && !first_word) return false;
  finding.cause = std::move(cause);
  return true;
}

}  // namespace inferscope::detect
