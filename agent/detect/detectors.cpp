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
  const bool says_more = cause.kind > Cause::Kind::none &&
                         (cause.kind != finding.cause.kind || (cause.culprit && !finding.cause.culprit) ||
                          cause.share > finding.cause.share + 0.05);
  const bool first_word = finding.cause.kind == Cause::Kind::unknown && cause.kind == Cause::Kind::none;
  if (!says_more && !first_word) return false;
  finding.cause = std::move(cause);
  return true;
}

}  // namespace inferscope::detect
