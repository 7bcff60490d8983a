// SPDX-License-Identifier: Apache-2.0
#include "model/action.h"

#include <signal.h>

#include "model/names.h"

namespace inferscope {
namespace {

constexpr NameTable<Action::Kind, 5> action_names{{{Action::Kind::notify, "notify"},
                                                   {Action::Kind::signal, "signal"},
                                                   {Action::Kind::throttle, "throttle"},
                                                   {Action::Kind::weight, "weight"},
                                                   {Action::Kind::freeze, "freeze"}}};
constexpr NameTable<Decision::Verdict, 3> verdict_names{{{Decision::Verdict::act, "act"},
                                                         {Decision::Verdict::would_act, "would_act"},
                                                         {Decision::Verdict::refused, "refused"}}};
constexpr NameTable<Effect::State, 5> state_names{{{Effect::State::would_have, "would_have"},
                                                   {Effect::State::active, "active"},
                                                   {Effect::State::ended, "ended"},
                                                   {Effect::State::failed, "failed"},
                                                   {Effect::State::stuck, "stuck"}}};
constexpr NameTable<Effect::EndedBy, 9> ended_names{{{Effect::EndedBy::none, "none"},
                                                     {Effect::EndedBy::at_once, "at_once"},
                                                     {Effect::EndedBy::recovery, "recovery"},
                                                     {Effect::EndedBy::expiry, "expiry"},
                                                     {Effect::EndedBy::worse, "worse"},
                                                     {Effect::EndedBy::operator_request, "operator"},
                                                     {Effect::EndedBy::shut_down, "shut_down"},
                                                     {Effect::EndedBy::restart, "restart"},
                                                     {Effect::EndedBy::unchanged, "unchanged"}}};
constexpr NameTable<Effect::Outcome, 4> outcome_names{{{Effect::Outcome::pending, "pending"},
                                                       {Effect::Outcome::recovered, "recovered"},
                                                       {Effect::Outcome::unchanged, "unchanged"},
                                                       {Effect::Outcome::worse, "worse"}}};
constexpr NameTable<int, 7> signal_names{{{SIGSTOP, "STOP"},
                                          {SIGCONT, "CONT"},
                                          {SIGTERM, "TERM"},
                                          {SIGKILL, "KILL"},
                                          {SIGUSR1, "USR1"},
                                          {SIGUSR2, "USR2"},
                                          {SIGHUP, "HUP"}}};

}  // namespace

std::string_view name_of(Action::Kind kind) {
  return name_in(action_names, kind);
}
std::string text_of_weight(std::uint32_t weight) {
  return weight == idle_weight ? "idle" : std::to_string(weight);
}
std::string_view name_of(Decision::Verdict verdict) {
  return name_in(verdict_names, verdict);
}
std::string_view name_of(Effect::State state) {
  return name_in(state_names, state);
}
std::string_view name_of(Effect::EndedBy by) {
  return name_in(ended_names, by);
}
std::string_view name_of(Effect::Outcome outcome) {
  return name_in(outcome_names, outcome);
}
std::optional<Action::Kind> action_kind_of(std::string_view name) {
  return value_in(action_names, name);
}
std::optional<int> signal_of(std::string_view name) {
  if (name.starts_with("SIG")) name.remove_prefix(3);
  return value_in(signal_names, name);
}
std::string_view signal_name(int signal) {
  return name_in(signal_names, signal);
}

}  // namespace inferscope
