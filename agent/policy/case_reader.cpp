// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <map>
#include <set>

#include "policy/policy_file.h"
#include "policy/reading.h"
#include "yaml/reader.h"

namespace inferscope::policy {
namespace {

using yaml::reject;

constexpr Duration case_limit = std::chrono::hours(2);

Duration read_at(const YAML::Node& node) {
  return yaml::read_duration(node, "at", Duration::zero(), case_limit);
}

/// Gives the processes and cgroups of a case numbers by their names, so that the same name is the same thing.
class Cast {
 public:
  ProcessTarget process(const std::string& name, const std::string& cgroup) {
    ProcessTarget target;
    target.name = name;
    target.executable = "/usr/bin/" + name;
    target.cgroup = cgroup.empty() ? "/" + name : cgroup;
    target.cgroup_id = number(target.cgroup);
    target.pid = static_cast<Pid>(number(name));
    target.start_time_ns = 1;
    return target;
  }

 private:
  std::uint64_t number(const std::string& name) {
    return numbers_.try_emplace(name, 1000 + numbers_.size()).first->second;
  }

  std::map<std::string, std::uint64_t> numbers_{};
};

ProcessTarget read_process(const YAML::Node& node, const char* what, Cast& cast) {
  std::string name = what;
  std::string cgroup;
  std::string executable;
  bool known = true;
  yaml::read_mapping(node, what,
                     {{"name", [&](const YAML::Node& n) { name = read_line(n, "name", 64); }},
                      {"executable", [&](const YAML::Node& n) { executable = read_line(n, "executable", 256); }},
                      {"cgroup", [&](const YAML::Node& n) { cgroup = read_line(n, "cgroup", 256); }},
                      {"identity", [&](const YAML::Node& n) { known = yaml::read_bool(n, "identity"); }}});
  ProcessTarget target = cast.process(name, cgroup);
  if (!executable.empty()) target.executable = executable;
  if (!known) target.pid = 0;
  return target;
}

/// A finding's entries say what changed; the rest stays as the entry before had it.
class FindingsReader {
 public:
  explicit FindingsReader(Finding::Kind kind) : kind_(kind) {}

  CaseFinding read(const YAML::Node& node) {
    if (!node.IsMap()) reject(node, "an entry of findings must be a mapping");
    const YAML::Node named = node["id"];
    const std::string id = named.IsDefined() ? read_line(named, "id", 64) : "finding";
    const auto [found, fresh] = latest_.try_emplace(id);
    CaseFinding& entry = found->second;
    if (entry.closed) reject(node, fmt::format("the finding '{}' is closed already", id));
    if (fresh) start(entry.finding, id);
    const bool timed = read_entry(node, entry);
    if (!timed) reject(node, "an entry of findings needs 'at'");
    if (fresh) entry.finding.begin = entry.finding.detected = Time(entry.at);
    if (entry.closed) entry.finding.end = Time(entry.at);
    return entry;
  }

 private:
  void start(Finding& finding, const std::string& id) {
    finding.id = id;
    finding.kind = kind_;
    finding.server = cast_.process("server", "");
    finding.confidence = 1;
    finding.cause.share = 1;
  }

  bool read_entry(const YAML::Node& node, CaseFinding& entry) {
    Finding& finding = entry.finding;
    bool timed = false;
    yaml::read_mapping(
        node, "an entry of findings",
        {{"id", [](const YAML::Node&) {}},
         {"at",
          [&](const YAML::Node& n) {
            entry.at = read_at(n);
            timed = true;
          }},
         {"kind", [&](const YAML::Node& n) { finding.kind = read_finding_kind(n); }},
         {"server", [&](const YAML::Node& n) { finding.server = read_process(n, "server", cast_); }},
         {"model", [&](const YAML::Node& n) { finding.model = read_line(n, "model", 256); }},
         {"cause", [&](const YAML::Node& n) { finding.cause.kind = read_cause(n); }},
         {"culprit", [&](const YAML::Node& n) { finding.cause.culprit = read_process(n, "culprit", cast_); }},
         {"share", [&](const YAML::Node& n) { finding.cause.share = yaml::read_fraction(n, "share", 0, 1); }},
         {"confidence", [&](const YAML::Node& n) { finding.confidence = yaml::read_fraction(n, "confidence", 0, 1); }},
         {"ratio",
          [&](const YAML::Node& n) {
            finding.measure.value = yaml::read_fraction(n, "ratio", 0, 10000);
            finding.measure.usual = 1;
          }},
         {"gap", [&](const YAML::Node& n) { finding.gap = yaml::read_bool(n, "gap"); }},
         {"closed", [&](const YAML::Node& n) { entry.closed = yaml::read_bool(n, "closed"); }}});
    return timed;
  }

  Finding::Kind kind_;
  Cast cast_{};
  std::map<std::string, CaseFinding> latest_{};
};

Decision::Verdict read_verdict(const YAML::Node& node) {
  const std::string name = yaml::read_choice(node, "verdict", {"act", "would_act", "refused"});
  return name == "act"         ? Decision::Verdict::act
         : name == "would_act" ? Decision::Verdict::would_act
                               : Decision::Verdict::refused;
}

Effect::Outcome read_outcome(const YAML::Node& node) {
  const std::string name = yaml::read_choice(node, "outcome", {"recovered", "unchanged", "worse"});
  return name == "recovered"   ? Effect::Outcome::recovered
         : name == "unchanged" ? Effect::Outcome::unchanged
                               : Effect::Outcome::worse;
}

CaseExpectation read_expectation(const YAML::Node& node) {
  CaseExpectation expectation;
  bool timed = false;
  yaml::read_mapping(node, "an entry of expect",
                     {{"at",
                       [&](const YAML::Node& n) {
                         expectation.at = read_at(n);
                         timed = true;
                       }},
                      {"verdict", [&](const YAML::Node& n) { expectation.verdict = read_verdict(n); }},
                      {"reason", [&](const YAML::Node& n) { expectation.reason = read_line(n, "reason", 64); }},
                      {"step",
                       [&](const YAML::Node& n) {
                         expectation.step =
                             static_cast<std::uint32_t>(yaml::read_number(n, "step", 0, steps_limit - 1));
                       }},
                      {"target",
                       [&](const YAML::Node& n) {
                         Step step;
                         read_target(n, step);
                         expectation.target = step.target;
                       }},
                      {"outcome", [&](const YAML::Node& n) { expectation.outcome = read_outcome(n); }},
                      {"undone", [&](const YAML::Node& n) { expectation.undone = yaml::read_bool(n, "undone"); }}});
  if (!timed) reject(node, "an entry of expect needs 'at'");
  if (expectation.verdict.has_value() == expectation.outcome.has_value())
    reject(node, "an entry of expect is either a decision with a 'verdict' or a judgement with an 'outcome'");
  if (!expectation.reason.empty() && expectation.verdict != Decision::Verdict::refused)
    reject(node, "'reason' is for verdict: refused");
  if (expectation.undone && !expectation.outcome) reject(node, "'undone' is for an outcome");
  if (expectation.outcome && (expectation.step || expectation.target))
    reject(node, "'step' and 'target' are for a verdict");
  return expectation;
}

/// A list whose entries are in the order of time.
template <class Entry, class Read>
std::vector<Entry> read_timeline(const YAML::Node& node, const char* what, Reading& reading, const Read& read) {
  if (!node.IsSequence()) reject(node, fmt::format("{} must be a list", what));
  if (node.size() > reading.case_entries_left)
    reject(node, fmt::format("the cases of a file may have {} entries in all", case_entries_limit));
  reading.case_entries_left -= node.size();
  std::vector<Entry> entries;
  for (const auto& item : node) {
    entries.push_back(read(item));
    if (entries.size() > 1 && entries.back().at < entries[entries.size() - 2].at)
      reject(item, fmt::format("{} must be in the order of time", what));
  }
  return entries;
}

Case read_case(const YAML::Node& node, const Policy& policy, Reading& reading) {
  if (!node.IsMap()) reject(node, "a case must be a mapping");
  Case one;
  one.mode = policy.mode;
  one.source = source_of(node, reading);
  bool expects = false;
  yaml::read_mapping(node, "a case",
                     {{"name", [&](const YAML::Node& n) { one.name = read_line(n, "name", 128); }},
                      {"armed", [&](const YAML::Node& n) { one.armed = yaml::read_bool(n, "armed"); }},
                      {"mode", [&](const YAML::Node& n) { one.mode = read_mode(n); }},
                      {"findings",
                       [&](const YAML::Node& n) {
                         FindingsReader findings(policy.match.kind);
                         one.findings = read_timeline<CaseFinding>(
                             n, "findings", reading, [&](const YAML::Node& item) { return findings.read(item); });
                       }},
                      {"expect", [&](const YAML::Node& n) {
                         one.expect = read_timeline<CaseExpectation>(n, "expect", reading, read_expectation);
                         expects = true;
                       }}});
  if (one.name.empty()) reject(node, "a case needs a name");
  if (one.findings.empty()) reject(node, "a case needs findings");
  if (!expects) reject(node, "a case needs 'expect': an empty list if nothing is to happen");
  return one;
}

}  // namespace

std::vector<Case> read_cases(const YAML::Node& node, const Policy& policy, Reading& reading) {
  if (!node.IsSequence()) reject(node, "cases must be a list");
  std::vector<Case> cases;
  std::set<std::string> names;
  for (const auto& item : node) {
    if (reading.case_entries_left == 0)
      reject(item, fmt::format("the cases of a file may have {} entries in all", case_entries_limit));
    cases.push_back(read_case(item, policy, reading));
    if (!names.insert(cases.back().name).second)
      reject(item, fmt::format("there are two cases named '{}'", cases.back().name));
  }
  return cases;
}

}  // namespace inferscope::policy
