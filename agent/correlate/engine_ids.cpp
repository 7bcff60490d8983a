// SPDX-License-Identifier: Apache-2.0
#include "correlate/engine_ids.h"

#include <algorithm>
#include <array>

namespace inferscope::correlate {
namespace {

/// What servers put in front of an id for their clients.
struct Prefix {
  std::string_view text{};
  bool prompts = false;  ///< such a call may have several prompts, which are numbered
};
constexpr std::array<Prefix, 9> prefixes{{{"chatcmpl-", false},
                                          {"cmpl-", true},
                                          {"embd-", true},
                                          {"pool-", true},
                                          {"score-", true},
                                          {"rerank-", true},
                                          {"resp_", false},
                                          {"resp-", false},
                                          {"classify-", true}}};

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_hex(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'f');
}

Prefix prefix_of(std::string_view id) {
  for (const Prefix& prefix : prefixes)
    if (id.starts_with(prefix.text) && id.size() > prefix.text.size()) return prefix;
  return {};
}

std::string_view choice_of(std::string_view id) {
  const std::size_t end = std::min(id.find_first_not_of("0123456789"), id.size());
  return end > 0 && end + 1 < id.size() && id[end] == '_' ? id.substr(0, end) : std::string_view();
}

std::string_view without_choice(std::string_view id) {
  const std::string_view choice = choice_of(id);
  return choice.empty() ? id : id.substr(choice.size() + 1);
}

/// "-0", "-1a2b3c4d", or both: the number of a prompt, and what makes the id unique.
bool read_suffix(std::string_view text, bool prompts, EngineId& id) {
  constexpr std::size_t unique_digits = 8;
  constexpr std::size_t most_prompt_digits = 5;
  const auto part = [&] { return text.substr(1, text.find('-', 1) - 1); };
  if (prompts && text.starts_with('-')) {
    const std::string_view number = part();
    if (!number.empty() && number.size() <= most_prompt_digits && std::all_of(number.begin(), number.end(), is_digit)) {
      id.prompt = number;
      text.remove_prefix(1 + number.size());
    }
  }
  if (text.starts_with('-')) {
    const std::string_view unique = part();
    if (unique.size() != unique_digits || !std::all_of(unique.begin(), unique.end(), is_hex)) return false;
    id.unique = unique;
    text.remove_prefix(1 + unique.size());
  }
  return text.empty();
}

}  // namespace

std::string_view common_part(std::string_view id) {
  const std::string_view rest = without_choice(id);
  return rest.substr(prefix_of(rest).text.size());
}

std::optional<EngineId> made_of(std::string_view engine_id, std::string_view base, bool prefixed) {
  // An id that was given may itself begin like one with a choice.
  for (const std::string_view choice : {std::string_view(), choice_of(engine_id)}) {
    const std::string_view rest = engine_id.substr(choice.empty() ? 0 : choice.size() + 1);
    const Prefix prefix = prefix_of(rest);
    for (const bool in_front : {false, true}) {
      if (in_front && (!prefixed || prefix.text.empty())) continue;
      const std::string_view id = in_front ? rest.substr(prefix.text.size()) : rest;
      EngineId parts{.choice = choice, .prefix = prefix.text};
      if (id.starts_with(base) && read_suffix(id.substr(base.size()), prefix.prompts, parts)) return parts;
    }
  }
  return std::nullopt;
}

}  // namespace inferscope::correlate
