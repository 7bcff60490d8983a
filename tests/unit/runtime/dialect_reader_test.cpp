// SPDX-License-Identifier: Apache-2.0
// The configuration's `dialects`.
#include <gtest/gtest.h>

#include "runtime/config.h"

namespace inferscope::runtime {
namespace {

using interpret::DialectDefinition;

std::vector<DialectDefinition> parsed(std::string_view yaml) {
  const auto config = parse_config(yaml, "test.yaml");
  if (!config) {
    ADD_FAILURE() << config.error().text();
    return {};
  }
  return config->dialects;
}

/// The cause of the refusal.
std::string refused(std::string_view yaml) {
  const auto config = parse_config(yaml, "test.yaml");
  if (config) return "accepted";
  EXPECT_EQ(config.error().kind, Error::Kind::usage);
  return config.error().cause;
}
/// Of a dialect that is good but for what is added.
std::string refused_with(const std::string& more) {
  return refused("dialects: [{name: acme, paths: [{path: /x}], " + more + "}]");
}
std::string refused_path(const std::string& path) {
  return refused("dialects: [{name: acme, paths: [{path: '" + path + "'}]}]");
}

DialectDefinition::Pointer at(const char* pointer) {
  return rapidjson::Pointer(pointer);
}

TEST(DialectReader, NoneByDefault) {
  EXPECT_TRUE(parsed("").empty());
  EXPECT_TRUE(parsed("dialects: []").empty());
}

TEST(DialectReader, EveryKey) {
  const auto dialects = parsed(R"(
dialects:
  - name: acme
    provider: acme.inc
    paths:
      - {path: /api/v3/complete, operation: text_completion}
      - {path: "/sessions/*/say"}
    request:
      model: /model
      stream: /options/stream
      max_tokens: /options/limit
      temperature: /options/heat
      prompt: /prompt
    message: {id: /id, content: /delta/text}
    response:
      id: /id
      model: /engine
      input_tokens: /usage/in
      output_tokens: /usage/out
      cached_input_tokens: /usage/cached
      finish_reason: /results/0/stop
      content: /results/0/a~1b
      error: ""
  - name: other
    paths: [{path: /}]
    message:
    response: {content: /text}
)");
  ASSERT_EQ(dialects.size(), 2u);
  const DialectDefinition& acme = dialects[0];
  EXPECT_EQ(acme.name, "acme");
  EXPECT_EQ(acme.provider, "acme.inc");
  ASSERT_EQ(acme.paths.size(), 2u);
  EXPECT_EQ(acme.paths[0].path, "/api/v3/complete");
  EXPECT_EQ(acme.paths[0].operation, "text_completion");
  EXPECT_EQ(acme.paths[1].path, "/sessions/*/say");
  EXPECT_EQ(acme.paths[1].operation, "chat");
  EXPECT_TRUE(acme.request.model == at("/model"));
  EXPECT_TRUE(acme.request.stream == at("/options/stream"));
  EXPECT_TRUE(acme.request.max_tokens == at("/options/limit"));
  EXPECT_TRUE(acme.request.temperature == at("/options/heat"));
  EXPECT_TRUE(acme.request.prompt == at("/prompt"));
  EXPECT_TRUE(acme.response.id == at("/id"));
  EXPECT_TRUE(acme.response.model == at("/engine"));
  EXPECT_TRUE(acme.response.input_tokens == at("/usage/in"));
  EXPECT_TRUE(acme.response.output_tokens == at("/usage/out"));
  EXPECT_TRUE(acme.response.cached_input_tokens == at("/usage/cached"));
  EXPECT_TRUE(acme.response.finish_reason == at("/results/0/stop"));
  EXPECT_TRUE(acme.response.content == at("/results/0/a~1b"));
  EXPECT_TRUE(acme.response.error == at("")) << "the whole";
  EXPECT_TRUE(acme.message.content == at("/delta/text"));
  EXPECT_FALSE(acme.message.model) << "a message says only what its own keys tell";
  EXPECT_EQ(dialects[1].provider, "other") << "its name";
  EXPECT_TRUE(dialects[1].message.content == at("/text")) << "as a response";
  EXPECT_FALSE(dialects[1].request.model);
}

TEST(DialectReader, BuiltInPathsMayBeTaught) {
  EXPECT_EQ(parsed("dialects: [{name: acme, paths: [{path: /v1/completions}]}]").size(), 1u);
}

TEST(DialectReader, UnknownKeysAreToldWithTheirPlace) {
  EXPECT_TRUE(refused("dialects:\n  - name: a\n    pahts: []\n")
                  .starts_with("test.yaml:3:5: unknown key 'pahts' in a dialect; known are: "));
  EXPECT_TRUE(refused("dialects:\n  - paths:\n      - {path: /x, marks_server: true}\n")
                  .starts_with("test.yaml:3:20: unknown key 'marks_server' in a path of a dialect"));
  EXPECT_NE(refused_with("request: {tokens: /a}").find("unknown key 'tokens' in dialects.request"), std::string::npos);
  EXPECT_NE(refused_with("response: {prompt: /a}").find("in dialects.response"), std::string::npos);
  EXPECT_NE(refused_with("message: {prompt: /a}").find("in dialects.message"), std::string::npos);
  EXPECT_NE(refused_with("request: {model: /a, model: /b}").find("stands twice"), std::string::npos);
}

TEST(DialectReader, WrongKindsAreRefused) {
  for (const std::string_view yaml :
       {"dialects: {}", "dialects: acme", "dialects:", "dialects: [acme]", "dialects: [[]]", "dialects: [~]",
        "dialects: [{}]", "dialects: [{name: acme}]", "dialects: [{name: acme, paths: []}]",
        "dialects: [{name: acme, paths: /x}]", "dialects: [{name: acme, paths: [/x]}]",
        "dialects: [{name: acme, paths: [~]}]", "dialects: [{name: acme, paths: [{operation: chat}]}]",
        "dialects: [{name: [acme], paths: [{path: /x}]}]", "dialects: [{paths: [{path: /x}]}]",
        "dialects: [{name: acme, paths: [{path: [/x]}]}]", "dialects: &a [*a]"})
    EXPECT_TRUE(refused(yaml).starts_with("test.yaml:1:")) << yaml << ": " << refused(yaml);
  for (const char* more : {"request: /model", "request: {model: [/a]}", "request: {model: }", "response: []",
                           "message: {content: {}}", "provider: [x]", "provider: ''"})
    EXPECT_TRUE(refused_with(more).starts_with("test.yaml:1:")) << more << ": " << refused_with(more);
}

TEST(DialectReader, Names) {
  const auto with = [](const std::string& name) {
    return refused("dialects: [{name: '" + name + "', paths: [{path: /x}]}]");
  };
  EXPECT_EQ(with("Acme_v3.1-beta"), "accepted");
  EXPECT_EQ(with(std::string(64, 'a')), "accepted");
  EXPECT_TRUE(with(std::string(65, 'a')).starts_with("test.yaml:1:19: dialects.name must be 1 to 64 letters"));
  for (const char* name : {"", "a b", "a/b", "ä"}) EXPECT_NE(with(name), "accepted") << name;
  EXPECT_EQ(with("openai"), "test.yaml:1:19: 'openai' is the name of a built-in dialect");
  EXPECT_EQ(refused("dialects:\n  - {name: a, paths: [{path: /a}]}\n  - {name: a, paths: [{path: /b}]}\n"),
            "test.yaml:3:12: dialect 'a' stands twice in dialects");
  EXPECT_NE(refused_with("provider: a b"), "accepted");
  EXPECT_NE(refused("dialects: [{name: a, paths: [{path: /x, operation: 'a b'}]}]"), "accepted");
}

TEST(DialectReader, Paths) {
  for (const char* path : {"/", "/x", "/x/*/y", "/*", "/x/*", "/x.y/~z%20"})
    EXPECT_EQ(refused_path(path), "accepted") << path;
  for (const char* path : {"", "x", "*", "/x/", "//", "/x//y", "/x?y=1", "/x#y", "/x*", "/*x", "/x/a*/y", "/**"})
    EXPECT_NE(refused_path(path), "accepted") << path;
  EXPECT_EQ(refused_path("x"),
            "test.yaml:1:40: dialects.paths.path must be '/' and segments with '/' between them, without '?' and '#'");
  EXPECT_EQ(refused_path("/x*"), "test.yaml:1:40: in dialects.paths.path, '*' must be a whole segment");
  EXPECT_EQ(refused_path("/" + std::string(255, 'x')), "accepted");
  EXPECT_NE(refused_path("/" + std::string(256, 'x')).find("must have at most 256 bytes"), std::string::npos);
  EXPECT_EQ(refused("dialects: [{name: a, paths: [{path: /x}, {path: /x}]}]"),
            "test.yaml:1:49: path '/x' stands twice in dialects");
  EXPECT_EQ(refused("dialects:\n  - {name: a, paths: [{path: /x}]}\n  - {name: b, paths: [{path: /x}]}\n"),
            "test.yaml:3:30: path '/x' stands twice in dialects");
}

TEST(DialectReader, Pointers) {
  const auto with = [](const std::string& pointer) { return refused_with("request: {model: '" + pointer + "'}"); };
  for (const char* pointer : {"", "/", "/a", "/a/0/b", "/a~0b~1c", "/ä", "/a b", "/%41", "/-"})
    EXPECT_EQ(with(pointer), "accepted") << pointer;
  EXPECT_EQ(
      with("a/b"),
      "test.yaml:1:63: dialects.request.model must be a JSON pointer: it begins with '/', or is empty for the whole");
  EXPECT_NE(with("#/a").find("it begins with '/'"), std::string::npos);
  EXPECT_EQ(with("/a~2b"),
            "test.yaml:1:63: dialects.request.model must be a JSON pointer: in it, '~' stands before 0 or 1 only");
  EXPECT_NE(with("/a~").find("'~' stands before"), std::string::npos);
  EXPECT_EQ(with("/" + std::string(255, 'a')), "accepted");
  EXPECT_NE(with("/" + std::string(256, 'a')).find("must have at most 256 bytes"), std::string::npos);
}

TEST(DialectReader, Limits) {
  const auto dialects = [](int count) {
    std::string yaml = "dialects:\n";
    for (int i = 0; i < count; ++i)
      yaml += "  - {name: a" + std::to_string(i) + ", paths: [{path: /x" + std::to_string(i) + "}]}\n";
    return refused(yaml);
  };
  EXPECT_EQ(dialects(64), "accepted");
  EXPECT_EQ(dialects(65), "test.yaml:66:5: there may be at most 64 dialects");
  const auto paths = [](int count) {
    std::string yaml = "dialects:\n- name: a\n  paths:\n";
    for (int i = 0; i < count; ++i) yaml += "  - path: /x" + std::to_string(i) + "\n";
    return refused(yaml);
  };
  EXPECT_EQ(paths(32), "accepted");
  EXPECT_EQ(paths(33), "test.yaml:36:5: a dialect may have at most 32 paths");
}

}  // namespace
}  // namespace inferscope::runtime
