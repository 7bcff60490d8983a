// SPDX-License-Identifier: Apache-2.0
#include "policy/plan.h"

#include <fnmatch.h>

#include <algorithm>

#include "model/time_math.h"

namespace inferscope::policy {
namespace {

bool fits(const std::string& pattern, const std::string& text) {
  return pattern.empty() || fnmatch(pattern.c_str(), text.c_str(), 0) == 0;
}

bool fits_path(const std::string& pattern, const std::string& path) {
  return fits(pattern, path) || fits(pattern, path.substr(path.rfind('/') + 1));
}

}  // namespace

bool Match::matches(const Finding& finding, Time now) const {
  const Cause& cause = finding.cause;
  if (finding.kind != kind) return false;
  if (!causes.empty() && std::find(causes.begin(), causes.end(), cause.kind) == causes.end()) return false;
  // Written so that a number that is none (NaN) does not match.
  if (!(finding.confidence >= min_confidence && cause.share >= min_share)) return false;
  if (min_ratio > 0 && !(finding.measure.ratio() >= min_ratio)) return false;
  if (elapsed(finding.begin, now) < lasting) return false;
  if (!fits_path(server_executable, finding.server.executable) || !fits(server_name, finding.server.name) ||
      !fits(server_cgroup, finding.server.cgroup) || !fits(model, finding.model))
    return false;
  if (culprit_name.empty() && culprit_cgroup.empty()) return true;
  return cause.culprit && fits(culprit_name, cause.culprit->name) && fits(culprit_cgroup, cause.culprit->cgroup);
}

}  // namespace inferscope::policy
