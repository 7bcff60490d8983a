// SPDX-License-Identifier: Apache-2.0
#include "discover/rules.h"

#include <fmt/format.h>
#include <fnmatch.h>
#include <pwd.h>

#include <array>
#include <string_view>

namespace inferscope::discover {
namespace {

struct KnownServer {
  const char* name;
  const char* executable;    ///< pattern for the last part of its path; null: any
  const char* command_line;  ///< pattern; null: any
};

/// Servers that can be told by their name. One line each.
constexpr std::array known_servers{
    KnownServer{"llama.cpp server", "llama-server*", nullptr},
    KnownServer{"llama.cpp server", "llama-box*", nullptr},
    KnownServer{"llama.cpp RPC server", "rpc-server", nullptr},
    KnownServer{"llamafile", "*llamafile*", nullptr},
    KnownServer{"llama-cpp-python", nullptr, "*llama_cpp.server*"},
    KnownServer{"Ollama", "ollama*", nullptr},
    KnownServer{"vLLM", nullptr, "*vllm serve*"},
    KnownServer{"vLLM", nullptr, "*vllm.entrypoints*"},
    KnownServer{"vLLM", nullptr, "VLLM::*"},
    KnownServer{"SGLang", nullptr, "*sglang.launch_server*"},
    KnownServer{"SGLang", nullptr, "sglang::*"},
    KnownServer{"Text Generation Inference", "text-generation-*", nullptr},
    KnownServer{"Text Generation Inference", nullptr, "*text-generation-server*"},
    KnownServer{"Text Embeddings Inference", "text-embeddings-router*", nullptr},
    KnownServer{"Triton Inference Server", "tritonserver*", nullptr},
    KnownServer{"Triton Python backend", "triton_python_backend_stub*", nullptr},
    KnownServer{"TensorRT-LLM", nullptr, "*trtllm-serve*"},
    KnownServer{"LMDeploy", nullptr, "*lmdeploy serve*"},
    KnownServer{"MLC LLM", nullptr, "*mlc_llm serve*"},
    KnownServer{"LocalAI", "local-ai*", nullptr},
    KnownServer{"KoboldCpp", nullptr, "*koboldcpp*"},
    KnownServer{"Aphrodite", nullptr, "*aphrodite run*"},
    KnownServer{"Infinity", nullptr, "*infinity_emb*"},
    KnownServer{"TorchServe", nullptr, "*org.pytorch.serve*"},
    KnownServer{"Ray Serve replica", nullptr, "ray::ServeReplica*"},
};

struct KnownLibrary {
  const char* pattern;
  const char* meaning;
};

constexpr std::array known_libraries{
    KnownLibrary{"libllama*.so*", "llama.cpp"},
    KnownLibrary{"libggml*.so*", "ggml"},
    KnownLibrary{"libcuda.so*", "CUDA driver"},
    KnownLibrary{"libcudart*.so*", "CUDA runtime"},
    KnownLibrary{"libamdhip64.so*", "HIP"},
    KnownLibrary{"libhsa-runtime64.so*", "ROCm"},
    KnownLibrary{"libze_loader.so*", "Level Zero"},
    KnownLibrary{"libtorch*.so*", "PyTorch"},
    KnownLibrary{"libonnxruntime*.so*", "ONNX Runtime"},
    KnownLibrary{"libnvinfer*.so*", "TensorRT"},
    KnownLibrary{"libtensorrt_llm*.so*", "TensorRT-LLM"},
    KnownLibrary{"libopenvino*.so*", "OpenVINO"},
};

bool glob(const char* pattern, const std::string& text) {
  return fnmatch(pattern, text.c_str(), 0) == 0;
}

/// The path without what /proc says of a binary that was replaced.
std::string plain_path(const std::string& path) {
  constexpr std::string_view deleted = " (deleted)";
  return path.ends_with(deleted) ? path.substr(0, path.size() - deleted.size()) : path;
}

std::string file_name(const std::string& path) {
  return plain_path(path.substr(path.rfind('/') + 1));
}

bool is_user(const std::string& user, std::uint32_t uid) {
  if (user == std::to_string(uid)) return true;
  std::array<char, 4096> buffer{};
  passwd entry{};
  passwd* found = nullptr;
  return getpwnam_r(user.c_str(), &entry, buffer.data(), buffer.size(), &found) == 0 && found && found->pw_uid == uid;
}

}  // namespace

bool matches(const Rule& rule, const ProcessInfo& info, const std::set<std::uint16_t>& ports) {
  bool any = false;
  const auto require = [&any](bool match) { return any = true, match; };
  if (rule.executable && !require(glob(rule.executable->c_str(), plain_path(info.executable)) ||
                                  glob(rule.executable->c_str(), file_name(info.executable))))
    return false;
  if (rule.command_line && !require(glob(rule.command_line->c_str(), info.command_line))) return false;
  if (rule.user && !require(is_user(*rule.user, info.uid))) return false;
  if (rule.port && !require(ports.contains(*rule.port))) return false;
  if (rule.cgroup) {
    bool found = false;
    for (const std::string& path : info.cgroups) found = found || glob(rule.cgroup->c_str(), path);
    if (!require(found)) return false;
  }
  return any;
}

std::string describe(const Rule& rule) {
  std::string text;
  const auto add = [&text](const char* key, const std::string& value) {
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", key, value);
  };
  if (rule.executable) add("executable", *rule.executable);
  if (rule.command_line) add("command line", *rule.command_line);
  if (rule.user) add("user", *rule.user);
  if (rule.port) add("port", std::to_string(*rule.port));
  if (rule.cgroup) add("cgroup", *rule.cgroup);
  return text;
}

std::optional<std::string> known_server(const ProcessInfo& info) {
  if (info.executable.empty()) return std::nullopt;
  const std::string name = file_name(info.executable);
  for (const KnownServer& row : known_servers)
    if ((!row.executable || glob(row.executable, name)) &&
        (!row.command_line || glob(row.command_line, info.command_line)))
      return row.name;
  return std::nullopt;
}

std::optional<std::string> inference_library(const std::set<std::string>& libraries) {
  for (const KnownLibrary& row : known_libraries)
    for (const std::string& library : libraries)
      if (glob(row.pattern, library)) return fmt::format("{} ({})", library, row.meaning);
  return std::nullopt;
}

}  // namespace inferscope::discover
