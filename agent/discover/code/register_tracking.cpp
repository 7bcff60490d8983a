// SPDX-License-Identifier: Apache-2.0
#include "discover/code/register_tracking.h"

#include <algorithm>
#include <utility>

namespace inferscope::discover {
namespace {

using Does = TrackedStep::Does;
using Flow = TrackedStep::Flow;

constexpr std::int64_t word = 8;
constexpr std::size_t steps_limit = 1024;  // what is looked for is short
constexpr std::size_t words_limit = 32;
constexpr int rounds_limit = 16;  // values only ever get fewer, so real code needs a few
// rdi, rsi, rdx, rcx, r8, r9, rax, r10, r11: what a called function may change (psABI).
constexpr std::uint16_t changed_by_calls = 0b0000'1100'0111'1111;

/// The stack pointer, so many bytes further.
Tracked moved(const Tracked& stack, std::int64_t bytes) {
  return stack.is == Tracked::Is::stack ? Tracked{Tracked::Is::stack, stack.value + bytes} : Tracked{};
}

}  // namespace

TrackedState::TrackedState() {
  for (std::size_t i = 0; i < arguments_tracked; ++i)
    values_[i] = {Tracked::Is::argument, static_cast<std::int64_t>(i)};
  values_[stack_pointer] = {Tracked::Is::stack, 0};
}

Passed TrackedState::arguments() const {
  Passed passed;
  std::copy_n(values_.begin(), passed.size(), passed.begin());
  return passed;
}

std::optional<std::int64_t> TrackedState::on_stack(const MemoryPlace& place) const {
  const Tracked& base = values_[place.base];
  if (base.is != Tracked::Is::stack) return std::nullopt;
  return base.value + place.displacement;
}

Tracked TrackedState::load(std::optional<std::int64_t> place) const {
  const auto known = place ? stack_.find(*place) : stack_.end();
  return known == stack_.end() ? Tracked{} : known->second;
}

void TrackedState::forget(std::optional<std::int64_t> place, std::uint8_t bytes) {
  if (place) stack_.erase(stack_.upper_bound(*place - word), stack_.lower_bound(*place + bytes));
}

void TrackedState::keep(std::int64_t place, const Tracked& value) {
  if (value != Tracked{} && stack_.size() < words_limit) stack_[place] = value;
}

void TrackedState::apply(const TrackedStep& step) {
  const auto place = step.memory ? on_stack(*step.memory) : std::nullopt;
  Tracked& stack = values_[stack_pointer];
  Tracked result;  // of `into`
  switch (step.does) {
    case Does::copy:
      result = values_[step.from];
      break;
    case Does::zero:
      result = {Tracked::Is::zero, 0};
      break;
    case Does::load:
      result = load(place);
      break;
    case Does::address:
      if (place) result = {Tracked::Is::stack, *place};
      break;
    case Does::add:
      result = moved(values_[step.into], step.number);
      break;
    case Does::pop:
      result = load(on_stack({stack_pointer, 0}));
      break;
    case Does::leave:
      result = load(on_stack({frame_pointer, 0}));
      break;
    default:
      break;
  }
  const Tracked source = values_[step.from];
  if (step.written_bytes > 0) forget(place, step.written_bytes);
  if (step.does == Does::store && place && step.written_bytes == word) keep(*place, source);
  const Tracked frame = values_[frame_pointer];
  const Tracked stack_before = stack;
  const std::uint16_t written = step.flow == Flow::call
                                    ? static_cast<std::uint16_t>(step.written_registers | changed_by_calls)
                                    : step.written_registers;
  for (std::size_t i = 0; i < registers; ++i)
    if ((written >> i & 1) != 0) values_[i] = {};
  switch (step.does) {
    case Does::push:
    case Does::push_other:
      stack = moved(stack_before, -word);
      if (const auto top = on_stack({stack_pointer, 0})) {
        forget(top, word);
        if (step.does == Does::push) keep(*top, source);
      }
      break;
    case Does::pop:
      stack = moved(stack_before, word);
      values_[step.into] = result;
      break;
    case Does::leave:
      stack = moved(frame, word);
      values_[frame_pointer] = result;
      break;
    case Does::store:
    case Does::other:
      // A call comes back with the stack as it was.
      if (step.flow == Flow::call) stack = stack_before;
      break;
    default:
      values_[step.into] = result;
      break;
  }
}

bool TrackedState::join(const TrackedState& other) {
  bool less = false;
  for (std::size_t i = 0; i < registers; ++i)
    if (values_[i] != other.values_[i] && values_[i] != Tracked{}) {
      values_[i] = {};
      less = true;
    }
  less = std::erase_if(stack_,
                       [&](const auto& one) {
                         const auto same = other.stack_.find(one.first);
                         return same == other.stack_.end() || same->second != one.second;
                       }) > 0 ||
         less;
  return less;
}

namespace {

/// One round through the code, with what is known of the places that are jumped to.
class Round {
 public:
  Round(const std::vector<TrackedStep>& steps, std::map<std::uint64_t, TrackedState>& at_targets, CodeFacts& facts)
      : steps_(steps), at_targets_(at_targets), facts_(facts) {}

  /// False if more was learned of places before.
  bool run() {
    facts_.transfers.clear();
    facts_.handed_on.clear();
    facts_.counts_in_first = false;
    std::optional<TrackedState> state = TrackedState();
    for (const TrackedStep& step : steps_) {
      if (const auto target = at_targets_.find(step.address); target != at_targets_.end()) {
        if (state)
          state->join(target->second);
        else
          state = target->second;
      }
      hidden_ = hidden_ || (!state && !step.is_padding);
      note(step, state);
      branched_ = branched_ || step.flow != Flow::on;
      called_ = called_ || step.flow == Flow::call;
      if (!state) continue;
      state->apply(step);
      if (jumps(step) && step.target && is_inside(*step.target)) learn(*step.target, *state);
      if (step.flow == Flow::jump || step.flow == Flow::ret) state.reset();
    }
    return settled_;
  }
  /// There is code to which no way is known.
  [[nodiscard]] bool hidden() const { return hidden_; }

 private:
  static bool jumps(const TrackedStep& step) { return step.flow == Flow::jump || step.flow == Flow::jump_if; }
  [[nodiscard]] bool is_inside(std::uint64_t address) const {
    return address >= steps_.front().address && address <= steps_.back().address;
  }

  void note(const TrackedStep& step, const std::optional<TrackedState>& state) {
    const Passed passed = state ? state->arguments() : Passed{};
    const bool call = step.flow == Flow::call;
    if (step.is_atomic && step.memory && state && !called_)
      facts_.counts_in_first =
          facts_.counts_in_first || state->value_of(step.memory->base) == Tracked{Tracked::Is::argument, 0};
    if (step.target && (call || (jumps(step) && !is_inside(*step.target))))
      facts_.transfers.push_back({*step.target, call, step.flow == Flow::jump_if, !branched_, passed});
    if (step.target || !(call || jumps(step))) return;
    // With something on the stack it does not end this function: a table tells where in it to go on.
    const bool ends = state && state->value_of(stack_pointer) == Tracked{Tracked::Is::stack, 0};
    if (call || ends) facts_.handed_on.push_back(passed);
    hidden_ = hidden_ || !(call || ends);
  }

  void learn(std::uint64_t target, const TrackedState& state) {
    const auto [known, first] = at_targets_.try_emplace(target, state);
    const bool less = !first && known->second.join(state);
    if (first || less) settled_ = false;
  }

  const std::vector<TrackedStep>& steps_;
  std::map<std::uint64_t, TrackedState>& at_targets_;
  CodeFacts& facts_;
  bool settled_ = true;
  bool hidden_ = false;
  bool branched_ = false;
  bool called_ = false;
};

}  // namespace

void track(const std::vector<TrackedStep>& steps, CodeFacts& facts) {
  if (steps.empty()) return;
  std::map<std::uint64_t, TrackedState> at_targets;
  for (int left = steps.size() < steps_limit ? rounds_limit : 1; left > 0; --left) {
    Round round(steps, at_targets, facts);
    if (round.run() && !round.hidden()) return;
    if (round.hidden() && left < rounds_limit) break;
  }
  facts.handed_on.clear();
  facts.counts_in_first = false;
  for (CodeFacts::Transfer& one : facts.transfers) one.passed = {};
}

}  // namespace inferscope::discover
