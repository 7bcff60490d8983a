// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "core/result.h"

namespace inferscope::web {

struct ApiRequest {
  std::string path{};
  std::map<std::string, std::string> query{};

  [[nodiscard]] std::string get(const std::string& key, const std::string& otherwise = {}) const;
};

struct ApiReply {
  int status = 200;
  std::string content_type = "application/json";
  std::string body{};
};

/// Answers at once. Called on the server's thread.
using ApiHandler = std::function<ApiReply(const ApiRequest&)>;
/// Gives what came since `cursor` and moves it; empty text: nothing new. `cursor` begins at 0. Called some ten times a
/// second for each reader until it goes away.
using ApiFeed = std::function<std::string(const ApiRequest&, std::uint64_t& cursor)>;

/// The agent's HTTP API on a unix socket that only its owner may open.
class ApiServer {
 public:
  ApiServer();
  ~ApiServer();
  ApiServer(const ApiServer&) = delete;
  ApiServer& operator=(const ApiServer&) = delete;

  void handle(const std::string& path, ApiHandler handler);
  /// The same for what changes something: answered to POST only, so that reading never does.
  void handle_post(const std::string& path, ApiHandler handler);
  void feed(const std::string& path, ApiFeed feed);

  /// Listens on `socket_path` and serves from a thread of its own. A socket file that nobody serves is replaced; one
  /// that another agent serves is an error.
  Status start(const std::string& socket_path);
  void stop();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace inferscope::web
