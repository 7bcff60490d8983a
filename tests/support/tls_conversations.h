// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <dlfcn.h>
#include <openssl/ssl.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/sockets.h"

namespace inferscope::test {

// It does not come to rest on this.
// clang-format off
#define OPENSSL_FUNCTIONS(EACH) \
  EACH(SSL_CTX_new) EACH(SSL_CTX_ctrl) EACH(SSL_CTX_set_cipher_list) EACH(TLS_method) EACH(SSL_new) \
  EACH(SSL_free) EACH(SSL_set_fd) EACH(SSL_accept) EACH(SSL_connect) EACH(SSL_set_accept_state) EACH(SSL_read) \
  EACH(SSL_write) EACH(SSL_read_ex) EACH(SSL_write_ex) EACH(SSL_peek) EACH(SSL_shutdown)
// clang-format on

/// The functions of an OpenSSL, and a context of it.
struct OpenSsl {
#define DECLARED(name) decltype(::name)* name = nullptr;
  OPENSSL_FUNCTIONS(DECLARED)
#undef DECLARED
  SSL_CTX* context = nullptr;

  /// Those of the shared library.
  static OpenSsl shared() {
    void* library = dlopen("libssl.so.3", RTLD_NOW | RTLD_LOCAL);
    REQUIRE_OR_EXIT(library != nullptr);
    OpenSsl tls;
#define LOOKED_UP(name)                                                  \
  tls.name = reinterpret_cast<decltype(::name)*>(dlsym(library, #name)); \
  REQUIRE_OR_EXIT(tls.name != nullptr);
    OPENSSL_FUNCTIONS(LOOKED_UP)
#undef LOOKED_UP
    tls.make_context();
    return tls;
  }
  /// Those that the program is linked with.
  static OpenSsl linked() {
    OpenSsl tls;
#define OWN(name) tls.name = &::name;
    OPENSSL_FUNCTIONS(OWN)
#undef OWN
    tls.make_context();
    return tls;
  }

 private:
  /// Without certificates, which are of no matter here.
  void make_context() {
    context = SSL_CTX_new(TLS_method());
    REQUIRE_OR_EXIT(context != nullptr && SSL_CTX_set_cipher_list(context, "AECDH-AES128-SHA:@SECLEVEL=0") == 1);
    SSL_CTX_ctrl(context, SSL_CTRL_SET_MAX_PROTO_VERSION, TLS1_2_VERSION, nullptr);
  }
};

/// What one side of a conversation says; its first four bytes are the conversation's number. go_tls_peer.go says the
/// same.
inline std::string said(unsigned number, bool by_client) {
  std::uint64_t state = std::uint64_t{number} * 2 + (by_client ? 1 : 0);
  const auto random = [&state] {
    state = state * 6364136223846793005 + 1442695040888963407;
    return state >> 33;
  };
  const std::uint64_t bits = 4 + random() % 17;
  const std::size_t size = 4 + random() % (1u << bits);  // up to 1 MiB, small ones as often as large
  std::string text(reinterpret_cast<const char*>(&number), 4);
  while (text.size() < size) text += static_cast<char>(random());
  return text;
}

inline void say(const OpenSsl& tls, SSL* session, const std::string& text, std::mt19937& random) {
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

inline void hear(const OpenSsl& tls, SSL* session, std::size_t size, std::mt19937& random) {
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

inline void one_side(const OpenSsl& tls, int fd, unsigned number, bool client) {
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

/// Both sides of each conversation, all at once.
inline void converse(const OpenSsl& tls, unsigned conversations) {
  std::vector<std::thread> threads;
  for (unsigned number = 0; number < conversations; ++number) {
    const auto pair = tcp_pair();
    close(pair.listener);
    threads.emplace_back([&tls, pair, number] { one_side(tls, pair.client, number, true); });
    threads.emplace_back([&tls, pair, number] { one_side(tls, pair.server, number, false); });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace inferscope::test
