// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>
#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "model/connection.h"
#include "model/exchange.h"

namespace inferscope::test {

/// A client and a server of nghttp2's that talk to each other in memory. What they say to each other, as the server
/// sees it, is in turns().
class Http2Peers {
 public:
  struct Turn {
    Direction direction;
    std::string bytes;
  };
  using StreamId = std::int32_t;

  Http2Peers() : client_(true), server_(false) { pump(); }
  /// Behind an upgrade from HTTP/1.1, whose request is stream 1.
  static Http2Peers upgraded() { return Http2Peers(true); }

  /// Names that begin with ':' first. `done` false: more of the body follows.
  StreamId request(const Headers& headers, std::string_view body = {}, bool done = true) {
    const auto pairs = pairs_of(headers);
    const StreamId stream = next_;
    next_ += 2;
    Body& source = client_.bodies[stream];
    source = Body{.rest = std::string(body), .done = done};
    nghttp2_data_provider provider{.source = {.ptr = &source}, .read_callback = read};
    const bool has_body = !body.empty() || !done;
    EXPECT_EQ(nghttp2_submit_request(client_.session, nullptr, pairs.data(), pairs.size(),
                                     has_body ? &provider : nullptr, nullptr),
              stream);
    pump();
    return stream;
  }
  void more_request(StreamId stream, std::string_view body, bool done) { more(client_, stream, body, done, {}); }

  void respond(StreamId stream, const Headers& headers, std::string_view body = {}, bool done = true,
               const Headers& trailers = {}) {
    const auto pairs = pairs_of(headers);
    Body& source = server_.bodies[stream];
    source = Body{.rest = std::string(body), .done = done, .trailers = trailers};
    nghttp2_data_provider provider{.source = {.ptr = &source}, .read_callback = read};
    EXPECT_EQ(nghttp2_submit_response(server_.session, stream, pairs.data(), pairs.size(), &provider), 0);
    pump();
  }
  void more_response(StreamId stream, std::string_view body, bool done = false, const Headers& trailers = {}) {
    more(server_, stream, body, done, trailers);
  }
  void inform(StreamId stream) {
    const Headers headers{{":status", "103"}};
    const auto pairs = pairs_of(headers);
    EXPECT_EQ(nghttp2_submit_headers(server_.session, NGHTTP2_FLAG_NONE, stream, nullptr, pairs.data(), pairs.size(),
                                     nullptr),
              0);
    pump();
  }
  void push(StreamId stream, const Headers& headers) {
    const auto pairs = pairs_of(headers);
    EXPECT_GT(
        nghttp2_submit_push_promise(server_.session, NGHTTP2_FLAG_NONE, stream, pairs.data(), pairs.size(), nullptr),
        0);
    pump();
  }
  void reset(StreamId stream, bool by_client, std::uint32_t code = NGHTTP2_CANCEL) {
    EXPECT_EQ(nghttp2_submit_rst_stream((by_client ? client_ : server_).session, NGHTTP2_FLAG_NONE, stream, code), 0);
    pump();
  }

  [[nodiscard]] const std::vector<Turn>& turns() const { return turns_; }
  /// What was said since, to be said again or left out.
  std::vector<Turn> take() { return std::exchange(turns_, {}); }

 private:
  struct Body {
    std::string rest{};
    bool done = true;
    Headers trailers{};
  };
  struct Peer {
    explicit Peer(bool is_client) {
      nghttp2_session_callbacks* callbacks = nullptr;
      nghttp2_session_callbacks_new(&callbacks);
      if (is_client)
        nghttp2_session_client_new(&session, callbacks, nullptr);
      else
        nghttp2_session_server_new(&session, callbacks, nullptr);
      nghttp2_session_callbacks_del(callbacks);
      const nghttp2_settings_entry window{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 1 << 20};
      nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, &window, 1);
    }
    Peer(const Peer&) = delete;
    Peer& operator=(const Peer&) = delete;
    ~Peer() { nghttp2_session_del(session); }

    nghttp2_session* session = nullptr;
    std::map<StreamId, Body> bodies{};
  };

  explicit Http2Peers(bool /*upgraded*/) : client_(true), server_(false), next_(3) {
    for (Peer* peer : {&client_, &server_})
      EXPECT_EQ(nghttp2_session_upgrade2(peer->session, nullptr, 0, 0, nullptr), 0);
    pump();
  }

  static ssize_t read(nghttp2_session* session, StreamId stream, std::uint8_t* to, std::size_t size,
                      std::uint32_t* flags, nghttp2_data_source* source, void* /*user*/) {
    Body& body = *static_cast<Body*>(source->ptr);
    const std::size_t count = std::min(size, body.rest.size());
    if (count == 0 && !body.done) return NGHTTP2_ERR_DEFERRED;
    std::copy_n(body.rest.begin(), count, to);
    body.rest.erase(0, count);
    if (!body.rest.empty() || !body.done) return static_cast<ssize_t>(count);
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (!body.trailers.empty()) {
      *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
      const auto pairs = pairs_of(body.trailers);
      nghttp2_submit_trailer(session, stream, pairs.data(), pairs.size());
    }
    return static_cast<ssize_t>(count);
  }

  void more(Peer& peer, StreamId stream, std::string_view bytes, bool done, const Headers& trailers) {
    Body& body = peer.bodies.at(stream);
    body.rest += bytes;
    body.done = done;
    body.trailers = trailers;
    nghttp2_session_resume_data(peer.session, stream);
    pump();
  }

  static std::vector<nghttp2_nv> pairs_of(const Headers& headers) {
    std::vector<nghttp2_nv> pairs;
    const auto bytes = [](const std::string& text) {
      return reinterpret_cast<std::uint8_t*>(const_cast<char*>(text.data()));
    };
    for (const Header& header : headers)
      pairs.push_back(
          {bytes(header.name), bytes(header.value), header.name.size(), header.value.size(), NGHTTP2_NV_FLAG_NONE});
    return pairs;
  }

  void pump() {
    while (deliver(client_, server_, Direction::received) || deliver(server_, client_, Direction::sent)) {
    }
  }
  bool deliver(Peer& from, Peer& to, Direction direction) {
    std::string bytes;
    const std::uint8_t* data = nullptr;
    for (ssize_t size = 0; (size = nghttp2_session_mem_send(from.session, &data)) > 0;)
      bytes.append(reinterpret_cast<const char*>(data), static_cast<std::size_t>(size));
    if (bytes.empty()) return false;
    EXPECT_EQ(nghttp2_session_mem_recv(to.session, reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()),
              static_cast<ssize_t>(bytes.size()));
    turns_.push_back({direction, std::move(bytes)});
    return true;
  }

  Peer client_;
  Peer server_;
  std::vector<Turn> turns_{};
  StreamId next_ = 1;
};

}  // namespace inferscope::test
