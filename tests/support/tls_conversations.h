// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <dlfcn.h>
#include <openssl/ssl.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "tests/support/sockets.h"

namespace inferscope::test {

// It does not come to rest on this.
// clang-format off
#define OPENSSL_FUNCTIONS(EACH) \
  EACH(SSL_CTX_new) EACH(SSL_CTX_ctrl) EACH(SSL_CTX_set_cipher_list) EACH(TLS_method) EACH(SSL_new) \
  EACH(SSL_free) EACH(SSL_set_fd) EACH(SSL_accept) EACH(SSL_connect) EACH(SSL_set_accept_state) EACH(SSL_read) \
  EACH(SSL_write) EACH(SSL_read_ex) EACH(SSL_write_ex) EACH(SSL_peek) EACH(SSL_shutdown) EACH(SSL_set_bio) \
  EACH(SSL_set_connect_state) EACH(SSL_do_handshake) EACH(SSL_renegotiate) EACH(SSL_CTX_set_options) \
  EACH(BIO_new) EACH(BIO_s_mem) EACH(BIO_read) EACH(BIO_write)
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
    SSL_CTX_set_options(context, SSL_OP_ALLOW_CLIENT_RENEGOTIATION);
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

/// One end of a connection, which speaks TLS.
class TlsSide {
 public:
  virtual ~TlsSide() = default;
  virtual void shake_hands() = 0;
  /// All of it.
  virtual void write(std::string_view text) = 0;
  /// At least one byte.
  virtual std::size_t read(char* to, std::size_t most) = 0;
  virtual void say_goodbye() = 0;
};
using MakeTlsSide = std::function<std::unique_ptr<TlsSide>(int fd, bool client)>;

/// OpenSSL on a socket; uses all forms of its functions in turn. A client shakes hands again now and then, which its
/// server does inside of reads.
class OpenSslSide : public TlsSide {
 public:
  OpenSslSide(const OpenSsl& tls, bool client) : tls_(tls), client_(client), session_(tls.SSL_new(tls.context)) {
    REQUIRE_OR_EXIT(session_ != nullptr);
  }
  OpenSslSide(const OpenSsl& tls, int fd, bool client) : OpenSslSide(tls, client) {
    REQUIRE_OR_EXIT(tls.SSL_set_fd(session_, fd) == 1);
    if (!client) tls.SSL_set_accept_state(session_);  // the first read shakes hands, if nobody else does
  }
  OpenSslSide(const OpenSslSide&) = delete;
  OpenSslSide& operator=(const OpenSslSide&) = delete;
  ~OpenSslSide() override { tls_.SSL_free(session_); }

  void shake_hands() override {
    REQUIRE_OR_EXIT((client_ ? tls_.SSL_connect(session_) : tls_.SSL_accept(session_)) == 1);
  }
  void write(std::string_view text) override {
    std::size_t written = 0;
    if (client_ && turn_ % 8 == 5)
      REQUIRE_OR_EXIT(tls_.SSL_renegotiate(session_) == 1 && tls_.SSL_do_handshake(session_) == 1);
    if (++turn_ % 2 == 0)
      REQUIRE_OR_EXIT(tls_.SSL_write_ex(session_, text.data(), text.size(), &written) == 1);
    else
      written = static_cast<std::size_t>(tls_.SSL_write(session_, text.data(), static_cast<int>(text.size())));
    REQUIRE_OR_EXIT(written == text.size());
  }
  std::size_t read(char* to, std::size_t most) override {
    std::size_t got = 0;
    if (++turn_ % 8 == 0) tls_.SSL_peek(session_, to, 1);
    if (turn_ % 2 == 0)
      REQUIRE_OR_EXIT(tls_.SSL_read_ex(session_, to, most, &got) == 1);
    else
      got = static_cast<std::size_t>(std::max(0, tls_.SSL_read(session_, to, static_cast<int>(most))));
    return got;
  }
  void say_goodbye() override { tls_.SSL_shutdown(session_); }

 protected:
  const OpenSsl& tls_;
  const bool client_;
  SSL* session_;

 private:
  unsigned turn_ = 0;
};

/// OpenSSL on memory, as event loops use it: the program moves the bytes between that and the socket.
class OpenSslOnMemory final : public OpenSslSide {
 public:
  OpenSslOnMemory(const OpenSsl& tls, int fd, bool client)
      : OpenSslSide(tls, client), fd_(fd), in_(tls.BIO_new(tls.BIO_s_mem())), out_(tls.BIO_new(tls.BIO_s_mem())) {
    tls.SSL_set_bio(session_, in_, out_);
    if (client)
      tls.SSL_set_connect_state(session_);
    else
      tls.SSL_set_accept_state(session_);
  }

  void shake_hands() override {
    until([this] { return tls_.SSL_do_handshake(session_) == 1; });
  }
  void write(std::string_view text) override {
    until([&] { return tls_.SSL_write(session_, text.data(), static_cast<int>(text.size())) > 0; });
  }
  std::size_t read(char* to, std::size_t most) override {
    int got = 0;
    until([&] { return (got = tls_.SSL_read(session_, to, static_cast<int>(most))) > 0; });
    return static_cast<std::size_t>(got);
  }
  void say_goodbye() override {
    OpenSslSide::say_goodbye();
    flush();
  }

 private:
  template <class F>
  void until(F&& done) {
    while (true) {
      // A server has nothing to say before it was spoken to, and event loops call it only then.
      const bool ready = (client_ || heard_) && done();
      flush();
      if (ready) return;
      char buffer[16384];
      const ssize_t got = ::read(fd_, buffer, sizeof(buffer));
      REQUIRE_OR_EXIT(got > 0 && tls_.BIO_write(in_, buffer, static_cast<int>(got)) == got);
      heard_ = true;
    }
  }
  void flush() {
    char buffer[16384];
    for (int size = 0; (size = tls_.BIO_read(out_, buffer, sizeof(buffer))) > 0;)
      for (int at = 0; at < size;) {
        const ssize_t sent = ::write(fd_, buffer + at, static_cast<std::size_t>(size - at));
        if (sent <= 0) return;  // the other side needs no goodbye
        at += static_cast<int>(sent);
      }
  }

  int fd_;
  BIO* in_;
  BIO* out_;
  bool heard_ = false;
};

/// GnuTLS on a socket. Its library is loaded, not linked: its interface has been the same for ten years.
class GnuTls {
 public:
  GnuTls() : library_(dlopen("libgnutls.so.30", RTLD_NOW | RTLD_LOCAL)) {
    REQUIRE_OR_EXIT(library_ != nullptr);
    call<int>("gnutls_anon_allocate_client_credentials", &client_);
    call<int>("gnutls_anon_allocate_server_credentials", &server_);
  }

  template <class Result, class... Arguments>
  Result call(const char* name, Arguments... arguments) const {
    const auto function = reinterpret_cast<Result (*)(Arguments...)>(dlsym(library_, name));
    REQUIRE_OR_EXIT(function != nullptr);
    return function(arguments...);
  }
  [[nodiscard]] void* credentials(bool client) const { return client ? client_ : server_; }

 private:
  void* library_;
  void* client_ = nullptr;
  void* server_ = nullptr;
};

class GnuTlsSide final : public TlsSide {
 public:
  GnuTlsSide(const GnuTls& tls, int fd, bool client) : tls_(tls) {
    constexpr unsigned as_server = 1, as_client = 2;
    constexpr int anonymous = 2;
    REQUIRE_OR_EXIT(tls.call<int>("gnutls_init", &session_, client ? as_client : as_server) == 0);
    constexpr const char* priority = "NORMAL:-VERS-ALL:+VERS-TLS1.2:-KX-ALL:+ANON-ECDH";
    REQUIRE_OR_EXIT(
        tls.call<int>("gnutls_priority_set_direct", session_, priority, static_cast<const char**>(nullptr)) == 0);
    tls.call<int>("gnutls_credentials_set", session_, anonymous, tls.credentials(client));
    tls.call<void>("gnutls_transport_set_int2", session_, fd, fd);
  }
  GnuTlsSide(const GnuTlsSide&) = delete;
  GnuTlsSide& operator=(const GnuTlsSide&) = delete;
  ~GnuTlsSide() override { tls_.call<void>("gnutls_deinit", session_); }

  void shake_hands() override {
    REQUIRE_OR_EXIT(tls_.call<int>("gnutls_handshake", session_) == 0);
    shaken_ = true;
  }
  void write(std::string_view text) override {
    while (!text.empty()) {
      const auto sent = tls_.call<ssize_t>("gnutls_record_send", session_, text.data(), text.size());
      REQUIRE_OR_EXIT(sent > 0);
      text.remove_prefix(static_cast<std::size_t>(sent));
    }
  }
  std::size_t read(char* to, std::size_t most) override {
    if (!shaken_) shake_hands();  // which it does not do by itself
    return static_cast<std::size_t>(std::max<ssize_t>(0, tls_.call<ssize_t>("gnutls_record_recv", session_, to, most)));
  }
  void say_goodbye() override { tls_.call<int>("gnutls_bye", session_, 1); }

 private:
  const GnuTls& tls_;
  void* session_ = nullptr;
  bool shaken_ = false;
};

inline void say(TlsSide& side, std::string_view text, std::mt19937& random) {
  while (!text.empty()) {
    const std::string_view part = text.substr(0, 1 + random() % 16000);
    side.write(part);
    text.remove_prefix(part.size());
  }
}

inline void hear(TlsSide& side, std::size_t size, std::mt19937& random) {
  std::vector<char> buffer(16384);
  while (size > 0) {
    const std::size_t most = std::min<std::size_t>(random() % 4 == 0 ? 1 : 1 + random() % buffer.size(), size);
    const std::size_t got = side.read(buffer.data(), most);
    REQUIRE_OR_EXIT(got > 0);
    size -= got;
  }
}

inline void one_side(TlsSide& side, unsigned number, bool client) {
  std::mt19937 random(number + (client ? 1000 : 2000));
  if (client || number % 2 == 0) side.shake_hands();
  if (client) say(side, said(number, true), random);
  hear(side, said(number, !client).size(), random);
  if (!client) say(side, said(number, false), random);
  if (number % 3 != 0) side.say_goodbye();
}

/// Both sides of each conversation, all at once.
inline void converse(const MakeTlsSide& make, unsigned conversations) {
  std::vector<std::thread> threads;
  for (unsigned number = 0; number < conversations; ++number) {
    const auto pair = tcp_pair();
    close(pair.listener);
    for (const bool client : {true, false})
      threads.emplace_back([&make, fd = client ? pair.client : pair.server, number, client] {
        one_side(*make(fd, client), number, client);
        close(fd);
      });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace inferscope::test
