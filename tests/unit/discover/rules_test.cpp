// SPDX-License-Identifier: Apache-2.0
#include "discover/rules.h"

#include <gtest/gtest.h>
#include <pwd.h>
#include <unistd.h>

namespace inferscope::discover {
namespace {

ProcessInfo process(std::string executable, std::string command_line = {}) {
  return {.pid = 42, .uid = 1000, .executable = std::move(executable), .command_line = std::move(command_line)};
}

TEST(Rules, ExecutableIsPathOrItsLastPart) {
  const auto info = process("/opt/llm/bin/my-server");
  EXPECT_TRUE(matches({.executable = "/opt/llm/bin/my-server"}, info, {}));
  EXPECT_TRUE(matches({.executable = "my-server"}, info, {}));
  EXPECT_TRUE(matches({.executable = "my-*"}, info, {}));
  EXPECT_TRUE(matches({.executable = "/opt/*/my-server"}, info, {})) << "* also matches '/'";
  EXPECT_FALSE(matches({.executable = "my"}, info, {}));
  EXPECT_FALSE(matches({.executable = "bin/my-server"}, info, {}));
}

TEST(Rules, ReplacedExecutableIsStillTheSame) {
  const auto info = process("/opt/my-server (deleted)");
  EXPECT_TRUE(matches({.executable = "my-server"}, info, {}));
  EXPECT_TRUE(matches({.executable = "/opt/my-server"}, info, {}));
}

TEST(Rules, CommandLine) {
  const auto info = process("/usr/bin/python3", "python3 -m my.server --port 8000");
  EXPECT_TRUE(matches({.command_line = "*my.server*"}, info, {}));
  EXPECT_FALSE(matches({.command_line = "my.server"}, info, {})) << "the whole of it";
}

TEST(Rules, UserByNumberAndName) {
  auto info = process("/bin/x");
  EXPECT_TRUE(matches({.user = "1000"}, info, {}));
  EXPECT_FALSE(matches({.user = "0"}, info, {}));
  EXPECT_FALSE(matches({.user = "01000"}, info, {}));
  EXPECT_FALSE(matches({.user = "no-such-user-here"}, info, {}));
  info.uid = 0;
  const passwd* root = getpwuid(0);
  ASSERT_TRUE(root);
  EXPECT_TRUE(matches({.user = root->pw_name}, info, {}));
}

TEST(Rules, Port) {
  const auto info = process("/bin/x");
  EXPECT_TRUE(matches({.port = std::uint16_t{8000}}, info, {22, 8000}));
  EXPECT_FALSE(matches({.port = std::uint16_t{8001}}, info, {22, 8000}));
  EXPECT_FALSE(matches({.port = std::uint16_t{8000}}, info, {}));
}

TEST(Rules, CgroupInAnyHierarchy) {
  auto info = process("/bin/x");
  EXPECT_FALSE(matches({.cgroup = "*"}, info, {}));
  info.cgroups = {"/", "/kubepods/pod1/abc"};
  EXPECT_TRUE(matches({.cgroup = "/kubepods/*"}, info, {}));
  EXPECT_TRUE(matches({.cgroup = "/"}, info, {}));
  EXPECT_FALSE(matches({.cgroup = "/docker/*"}, info, {}));
}

TEST(Rules, AllGivenFieldsMustMatch) {
  const auto info = process("/bin/x", "x --serve");
  const Rule rule{.executable = "x", .command_line = "*--serve", .user = "1000", .port = std::uint16_t{80}};
  EXPECT_TRUE(matches(rule, info, {80}));
  EXPECT_FALSE(matches(rule, info, {81}));
  auto other = rule;
  other.user = "1001";
  EXPECT_FALSE(matches(other, info, {80}));
  other = rule;
  other.executable = "y";
  EXPECT_FALSE(matches(other, info, {80}));
}

TEST(Rules, RuleWithoutFieldsMatchesNothing) {
  EXPECT_FALSE(matches({}, process("/bin/x"), {80}));
}

TEST(Rules, InWords) {
  EXPECT_EQ(
      describe({.executable = "x*", .command_line = "*y", .user = "root", .port = std::uint16_t{80}, .cgroup = "/z"}),
      "executable x*, command line *y, user root, port 80, cgroup /z");
  EXPECT_EQ(describe({.port = std::uint16_t{80}}), "port 80");
  EXPECT_EQ(describe({}), "");
}

struct ServerCase {
  const char* executable;
  const char* command_line;
  const char* name;  ///< null: none
};

class KnownServers : public testing::TestWithParam<ServerCase> {};

TEST_P(KnownServers, AreToldByTheirName) {
  const auto server = known_server(process(GetParam().executable, GetParam().command_line));
  EXPECT_EQ(server.value_or("none"), GetParam().name ? GetParam().name : "none")
      << GetParam().executable << " " << GetParam().command_line;
}

constexpr const char* python = "/usr/bin/python3.11";
INSTANTIATE_TEST_SUITE_P(
    Each, KnownServers,
    testing::Values(ServerCase{"/opt/llama.cpp/llama-server", "", "llama.cpp server"},
                    ServerCase{"/opt/llama-server-cuda (deleted)", "", "llama.cpp server"},
                    ServerCase{"/usr/local/bin/ollama", "ollama serve", "Ollama"},
                    ServerCase{"/usr/local/bin/ollama_llama_server", "", "Ollama"},
                    ServerCase{python, "python3 -m vllm.entrypoints.openai.api_server --model x", "vLLM"},
                    ServerCase{python, "/usr/bin/python3 /usr/local/bin/vllm serve x", "vLLM"},
                    ServerCase{python, "VLLM::EngineCore", "vLLM"},
                    ServerCase{python, "python -m sglang.launch_server", "SGLang"},
                    ServerCase{python, "sglang::scheduler", "SGLang"},
                    ServerCase{python, "python3 -m llama_cpp.server", "llama-cpp-python"},
                    ServerCase{"/usr/bin/text-generation-router", "", "Text Generation Inference"},
                    ServerCase{"/opt/tritonserver/bin/tritonserver", "", "Triton Inference Server"},
                    ServerCase{python, "trtllm-serve model", "TensorRT-LLM"},
                    ServerCase{"/usr/bin/llamafile", "", "llamafile"}, ServerCase{"/usr/bin/local-ai", "", "LocalAI"},
                    ServerCase{python, "ray::ServeReplica:app:Model", "Ray Serve replica"},
                    ServerCase{"/usr/bin/nginx", "nginx: master process", nullptr},
                    ServerCase{python, "python3 -m http.server", nullptr},
                    ServerCase{"/srv/llama-server/nginx", "", nullptr},  // a folder's name says nothing
                    ServerCase{"", "VLLM::EngineCore", nullptr}));       // not readable: a kernel thread, or gone

TEST(Rules, InferenceLibraries) {
  EXPECT_EQ(inference_library({"libc.so.6", "libcuda.so.1"}), "libcuda.so.1 (CUDA driver)");
  EXPECT_EQ(inference_library({"libggml-base.so"}), "libggml-base.so (ggml)");
  EXPECT_EQ(inference_library({"libtorch_cpu.so"}), "libtorch_cpu.so (PyTorch)");
  EXPECT_EQ(inference_library({"libonnxruntime.so.1.17.0"}), "libonnxruntime.so.1.17.0 (ONNX Runtime)");
  EXPECT_EQ(inference_library({"libc.so.6", "libssl.so.3", "libcuda.txt"}), std::nullopt);
  EXPECT_EQ(inference_library({}), std::nullopt);
}

}  // namespace
}  // namespace inferscope::discover
