// SPDX-License-Identifier: Apache-2.0
// Plaintext at the functions of a real OpenSSL: what is captured is what was written, byte for byte.
#include <dlfcn.h>
#include <gtest/gtest.h>
#include <openssl/ssl.h>

#include <cstdlib>
#include <map>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "discover/tls_watch.h"
#include "tests/support/sockets.h"
#include "tests/support/traced_process.h"

namespace inferscope::test {
namespace {

/// The shared library as a server has it: this program's own OpenSSL is linked into it.
struct OpenSsl {
  void* library = dlopen("libssl.so.3", RTLD_NOW | RTLD_LOCAL);

  template <class Function>
  Function* get(const char* name) const {
    void* found = library != nullptr ? dlsym(library, name) : nullptr;
    REQUIRE_OR_EXIT(found != nullptr);
    return reinterpret_cast<Function*>(found);
  }
#define FUNCTION(name) decltype(::name)* name = get<decltype(::name)>(#name)
  FUNCTION(SSL_CTX_new);
  FUNCTION(SSL_CTX_ctrl);
  FUNCTION(SSL_CTX_set_cipher_list);
  FUNCTION(TLS_method);
  FUNCTION(SSL_new);
  FUNCTION(SSL_free);
  FUNCTION(SSL_set_fd);
  FUNCTION(SSL_accept);
  FUNCTION(SSL_connect);
  FUNCTION(SSL_set_accept_state);
  FUNCTION(SSL_read);
  FUNCTION(SSL_write);
  FUNCTION(SSL_read_ex);
  FUNCTION(SSL_write_ex);
  FUNCTION(SSL_peek);
  FUNCTION(SSL_shutdown);
#undef FUNCTION
  SSL_CTX* context = anonymous_context();

  /// Without certificates, which are of no matter here.
  SSL_CTX* anonymous_context() const {
    SSL_CTX* made = SSL_CTX_new(TLS_method());
    REQUIRE_OR_EXIT(made != nullptr && SSL_CTX_set_cipher_list(made, "AECDH-AES128-SHA:@SECLEVEL=0") == 1);
    SSL_CTX_ctrl(made, SSL_CTRL_SET_MAX_PROTO_VERSION, TLS1_2_VERSION, nullptr);
    return made;
  }
};

/// What one side of a conversation says; its first four bytes are the conversation's number.
std::string said(unsigned number, bool by_client) {
  std::mt19937 random(number * 2 + (by_client ? 1 : 0));
  const std::size_t size = 4 + random() % (1u << (4 + random() % 17));  // up to 1 MiB, small ones as often as large
  std::string text(reinterpret_cast<const char*>(&number), 4);
  while (text.size() < size) text += static_cast<char>(random());
  return text;
}

void say(const OpenSsl& tls, SSL* session, const std::string& text, std::mt19937& random) {
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t size = std::min<std::size_t>(1 + random() % 16000, text.size() - at);
    std::size_t written = 0;
    if (random() % 2 == 0)
      REQUIRE_OR_EXIT(tls.SSL_write_ex(session, text.data() + at, size, &written) == 1);
    else
      written = static_cast<std::size_t>(std::max(0, tls.SSL_write(session, text.data() + at, static_cast<int>(size))));
    REQUIRE_OR_EXIT(written == size);
    at += size;
  }
}

void hear(const OpenSsl& tls, SSL* session, std::size_t size, std::mt19937& random) {
  std::vector<char> buffer(16384);
  while (size > 0) {
    const std::size_t most = std::min<std::size_t>(random() % 4 == 0 ? 1 : 1 + random() % buffer.size(), size);
    std::size_t got = 0;
    if (random() % 8 == 0) tls.SSL_peek(session, buffer.data(), 1);
    if (random() % 2 == 0)
      REQUIRE_OR_EXIT(tls.SSL_read_ex(session, buffer.data(), most, &got) == 1);
    else
      got = static_cast<std::size_t>(std::max(0, tls.SSL_read(session, buffer.data(), static_cast<int>(most))));
    REQUIRE_OR_EXIT(got > 0);
    size -= got;
  }
}

void one_side(const OpenSsl& tls, int fd, unsigned number, bool client) {
  std::mt19937 random(number + (client ? 1000 : 2000));
  SSL* session = tls.SSL_new(tls.context);
  REQUIRE_OR_EXIT(session != nullptr && tls.SSL_set_fd(session, fd) == 1);
  if (client)
    REQUIRE_OR_EXIT(tls.SSL_connect(session) == 1);
  else if (number % 2 == 0)
    REQUIRE_OR_EXIT(tls.SSL_accept(session) == 1);
  else
    tls.SSL_set_accept_state(session);  // the first read shakes hands
  if (client) say(tls, session, said(number, true), random);
  hear(tls, session, said(number, !client).size(), random);
  if (!client) say(tls, session, said(number, false), random);
  if (number % 3 != 0) tls.SSL_shutdown(session);
  tls.SSL_free(session);
  close(fd);
}

struct Stream {
  std::string content{};
  bool whole = true;
};

TEST(TlsBpf, PlaintextIsCapturedByteForByte) {
  const char* fewer = std::getenv("INFERSCOPE_TLS_CONVERSATIONS");
  const unsigned conversations = fewer != nullptr ? static_cast<unsigned>(std::stoul(fewer)) : 64;
  TracedProcess traced({.event_ring_bytes = 256u << 20, .message_budget_bytes = 1u << 30});
  int ready[2];
  ASSERT_EQ(pipe(ready), 0);
  discover::TlsWatch watch;
  bool followed = false;
  traced.each_turn([&] {
    if (!std::exchange(followed, true)) watch.follow(traced.child(), traced.source().now());
    watch.tick(traced.source().now(), [&](const TlsLibrary& library) {
      const auto status = traced.source().watch(library);
      EXPECT_TRUE(status) << status.error().text();
      EXPECT_EQ(write(ready[1], "x", 1), 1);
    });
  });
  traced.run([&] {
    const OpenSsl tls;
    char byte = 0;
    REQUIRE_OR_EXIT(read(ready[0], &byte, 1) == 1);
    std::vector<std::thread> threads;
    for (unsigned number = 0; number < conversations; ++number) {
      const auto pair = tcp_pair();
      close(pair.listener);
      threads.emplace_back([&tls, pair, number] { one_side(tls, pair.client, number, true); });
      threads.emplace_back([&tls, pair, number] { one_side(tls, pair.server, number, false); });
    }
    for (std::thread& thread : threads) thread.join();
  });
  close(ready[0]);
  close(ready[1]);
  ASSERT_EQ(traced.status(), 0);

  std::map<std::pair<ConnectionId, Direction>, Stream> streams;
  for (const Transfer* transfer : traced.all<Transfer>()) {
    Stream& stream = streams[{transfer->connection, transfer->direction}];
    stream.whole =
        stream.whole && transfer->position == stream.content.size() && transfer->head.size() == transfer->length;
    stream.content += transfer->head;
  }
  std::map<unsigned, int> seen;
  for (const auto& [key, stream] : streams) {
    ASSERT_GE(stream.content.size(), 4u);
    unsigned number = 0;
    std::memcpy(&number, stream.content.data(), 4);
    ASSERT_LT(number, conversations) << "ciphertext?";
    EXPECT_TRUE(stream.whole) << number;
    EXPECT_TRUE(stream.content == said(number, true) || stream.content == said(number, false)) << number;
    ++seen[number];
  }
  EXPECT_EQ(seen.size(), conversations);
  for (const auto& [number, count] : seen) EXPECT_EQ(count, 4) << number << ": each side says and hears";
  const auto counters = traced.source().counters();
  EXPECT_EQ(counters.tls_unplaced, 0u);
  EXPECT_EQ(counters.transfers_lost, 0u);
  EXPECT_EQ(counters.calls_full, 0u);
}

}  // namespace
}  // namespace inferscope::test
