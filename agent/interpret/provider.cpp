// SPDX-License-Identifier: Apache-2.0
#include "interpret/provider.h"

#include <algorithm>
#include <array>
#include <utility>

namespace inferscope::interpret {
namespace {

using Rule = std::pair<std::string_view, std::string_view>;  // part of the header, provider

constexpr std::array<Rule, 8> servers{{
    {"llama.cpp", "llama.cpp"},
    {"vllm", "vllm"},
    {"sglang", "sglang"},
    {"ollama", "ollama"},
    {"text-generation-inference", "tgi"},
    {"triton", "triton"},
    {"litellm", "litellm"},
    {"lmstudio", "lmstudio"},
}};

// The names that the conventions define.
constexpr std::array<Rule, 9> hosts{{
    {"api.openai.com", "openai"},
    {"api.anthropic.com", "anthropic"},
    {".openai.azure.com", "azure.ai.openai"},
    {"api.mistral.ai", "mistral_ai"},
    {"api.groq.com", "groq"},
    {"api.deepseek.com", "deepseek"},
    {"api.x.ai", "x_ai"},
    {"api.perplexity.ai", "perplexity"},
    {"generativelanguage.googleapis.com", "gcp.gemini"},
}};

constexpr char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

bool same(char a, char b) {
  return lower(a) == lower(b);
}

bool contains(std::string_view text, std::string_view part) {
  return std::search(text.begin(), text.end(), part.begin(), part.end(), same) != text.end();
}

bool is_host(std::string_view host, std::string_view name) {
  host = host.substr(0, host.rfind(':'));
  if (host.size() < name.size()) return false;
  if (name.front() == '.') host.remove_prefix(host.size() - name.size());
  return std::equal(host.begin(), host.end(), name.begin(), name.end(), same);
}

}  // namespace

std::string_view provider_of(std::string_view dialect, std::string_view server, std::string_view host,
                             bool has_timings) {
  for (const auto& [part, provider] : servers)
    if (contains(server, part)) return provider;
  // Its own API names the server, as far as nobody else has it.
  for (const std::string_view own : {"ollama", "tgi", "sglang"})
    if (dialect == own) return own;
  if (has_timings || dialect == "llamacpp") return "llama.cpp";
  for (const auto& [name, provider] : hosts)
    if (is_host(host, name)) return provider;
  return "unknown";
}

}  // namespace inferscope::interpret
