// SPDX-License-Identifier: Apache-2.0
// Plaintext at the functions of a real OpenSSL: what is captured is what was written, byte for byte.
#include <dlfcn.h>
#include <fcntl.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "discover/tls/tls_watch.h"
#include "tests/support/child_process.h"
#include "tests/support/probe_maps.h"
#include "tests/support/tls_conversations.h"
#include "tests/support/traced_process.h"

namespace inferscope::test {
namespace {

struct Stream {
  std::string content{};
  bool whole = true;
};

unsigned conversations() {
  const char* fewer = std::getenv("INFERSCOPE_TLS_CONVERSATIONS");
  return fewer != nullptr ? static_cast<unsigned>(std::stoul(fewer)) : 64;
}

/// Each conversation: each side says and hears all of it.
void expect_all(TracedProcess& traced) {
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
    ASSERT_LT(number, conversations()) << "ciphertext?";
    EXPECT_TRUE(stream.whole) << number;
    EXPECT_TRUE(stream.content == said(number, true) || stream.content == said(number, false)) << number;
    ++seen[number];
  }
  EXPECT_EQ(seen.size(), conversations());
  for (const auto& [number, count] : seen) EXPECT_EQ(count, 4) << number << ": each side says and hears";
  const auto counters = traced.source().counters();
  EXPECT_EQ(counters.tls_unplaced, 0u);
  EXPECT_EQ(counters.transfers_lost, 0u);
  EXPECT_EQ(counters.calls_full, 0u);
}

/// Two ends of a pipe, closed with the object.
struct Pipe {
  int ends[2] = {-1, -1};

  Pipe() { REQUIRE_OR_EXIT(pipe(ends) == 0); }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  ~Pipe() {
    close(ends[0]);
    close(ends[1]);
  }
};

/// Runs `code` once probes are in the file whose description begins so.
void trace(TracedProcess& traced, const std::string& description, const std::function<void(int ready)>& code,
           const std::function<void()>& meanwhile = {}) {
  const Pipe ready;
  discover::TlsWatch watch;
  bool followed = false;
  traced.each_turn([&] {
    if (meanwhile) meanwhile();
    if (!std::exchange(followed, true)) watch.follow(traced.child(), traced.source().now());
    watch.tick(traced.source().now(), [&](const TlsLibrary& library) {
      if (!describe(library).starts_with(description)) return;
      const auto status = traced.source().watch(library);
      EXPECT_TRUE(status) << status.error().text();
      EXPECT_EQ(write(ready.ends[1], "x", 1), 1);
    });
  });
  traced.run([&] { code(ready.ends[0]); });
  ASSERT_EQ(traced.status(), 0);
}

/// Once the probes are there.
void wait_for(int ready) {
  char byte = 0;
  REQUIRE_OR_EXIT(read(ready, &byte, 1) == 1);
}

template <class Side>
MakeTlsSide sides_of(const auto& tls) {
  return [&tls](int fd, bool client) { return std::make_unique<Side>(tls, fd, client); };
}

TEST(TlsBpf, PlaintextIsCapturedByteForByte) {
  TracedProcess traced({.event_ring_bytes = 256u << 20, .message_budget_bytes = 1u << 30});
  const auto capture = [&](const char* how, const std::string& description, const std::function<void(int)>& code) {
    SCOPED_TRACE(how);
    trace(traced, description, code);
    expect_all(traced);
    traced.forget();
  };
  capture("a shared library", "libssl.so.3 (.dynsym)", [](int ready) {
    const OpenSsl tls = OpenSsl::shared();
    wait_for(ready);
    converse(sides_of<OpenSslSide>(tls), conversations());
  });
  capture("on memory", "libssl.so.3 (.dynsym)", [](int ready) {
    const OpenSsl tls = OpenSsl::shared();
    wait_for(ready);
    converse(sides_of<OpenSslOnMemory>(tls), conversations());
  });
  capture("GnuTLS", "libgnutls.so.30", [](int ready) {
    const GnuTls tls;
    wait_for(ready);
    converse(sides_of<GnuTlsSide>(tls), conversations());
  });
  for (const auto& [description, program] :
       {std::pair{"tls_peer_fixed (executable, .symtab)", TLS_PEER_FIXED},
        std::pair{"tls_peer_fixed-stripped (executable, .rodata, .eh_frame)", TLS_PEER_FIXED "-stripped"},
        std::pair{"tls_peer_pie-stripped (executable, .rodata, .eh_frame)", TLS_PEER_PIE "-stripped"}})
    capture("a program that it is linked into", description, [program = program](int ready) {
      REQUIRE_OR_EXIT(dup2(ready, STDIN_FILENO) == STDIN_FILENO);
      execl(program, program, std::to_string(conversations()).c_str(), nullptr);
      _exit(101);
    });
}

TEST(TlsBpf, OfAFileThatTheKernelSendsTheLengthIsTold) {
  TracedProcess traced;
  trace(traced, "libopenssl_named.so (.dynsym)", [](int ready) {
    void* library = dlopen(OPENSSL_NAMED, RTLD_NOW | RTLD_LOCAL);
    REQUIRE_OR_EXIT(library != nullptr);
    const auto write_ex2 = reinterpret_cast<int (*)(void*, const void*, std::size_t, std::uint64_t, std::size_t*)>(
        dlsym(library, "SSL_write_ex2"));
    const auto sendfile =
        reinterpret_cast<ssize_t (*)(void*, int, off_t, std::size_t, int)>(dlsym(library, "SSL_sendfile"));
    wait_for(ready);
    const auto pair = tcp_pair();
    void* session = reinterpret_cast<void*>(static_cast<std::intptr_t>(pair.client));
    std::size_t written = 0;
    REQUIRE_OR_EXIT(write_ex2(session, "head", 4, 0, &written) == 1 && written == 4);
    const int file = open("/proc/self/exe", O_RDONLY);
    REQUIRE_OR_EXIT(sendfile(session, file, 0, 5000, 0) == 5000);
    REQUIRE_OR_EXIT(write_ex2(session, "tail", 4, 0, &written) == 1);
  });
  const auto sent = traced.transfers(Direction::sent);
  ASSERT_EQ(sent.size(), 3u);
  EXPECT_EQ(sent[0]->head, "head");
  EXPECT_EQ(sent[1]->length, 5000u);
  EXPECT_EQ(sent[1]->cut, Transfer::Cut::unreadable);
  EXPECT_EQ(sent[2]->head, "tail");
  EXPECT_EQ(sent[2]->position, 5004u);
}

TEST(TlsBpf, CallsOfWhoEndsInsideThemAreForgotten) {
  TracedProcess traced;
  std::size_t most = 0;
  double cost = 0;  // of the probes
  const auto watched_until_the_end = [&](const std::string& description, std::size_t callers,
                                         const std::function<void(int)>& code) {
    most = 0;
    trace(traced, description, code, [&] {
      most = std::max(most, entries_of("tls_calls"));
      for (const auto& use : traced.source().probe_uses()) cost = std::max(cost, use.of_tls);
    });
    EXPECT_GE(most, callers);
    EXPECT_EQ(entries_of("tls_calls"), 0u);
    traced.forget();
  };
  constexpr std::size_t threads = 64;  // so many that they end beside one another
  watched_until_the_end("libssl.so.3 (.dynsym)", threads, [](int ready) {
    const OpenSsl tls = OpenSsl::shared();
    wait_for(ready);
    for (std::size_t i = 0; i < threads; ++i)
      std::thread([&tls] {
        const auto pair = tcp_pair();
        OpenSslSide side(tls, pair.server, false);
        char byte = 0;
        side.read(&byte, 1);  // nobody writes
      }).detach();
    usleep(1'000'000);
  });
  EXPECT_GT(cost, 0);
#ifdef GO_TLS_PEER
  watched_until_the_end("go_tls_peer-plain", 4, [](int ready) {
    REQUIRE_OR_EXIT(dup2(ready, STDIN_FILENO) == STDIN_FILENO);
    execl(GO_TLS_PEER "plain", GO_TLS_PEER "plain", "4", "leave", nullptr);
    _exit(101);
  });
#endif
}

/// Both sides on one thread, whose hellos are on the way at the same time: whose is whose is not known.
TEST(TlsBpf, OfTwoSessionsAtOnceOnAThreadNothingIsGuessed) {
  TracedProcess traced;
  trace(traced, "libssl.so.3 (.dynsym)", [](int ready) {
    const OpenSsl tls = OpenSsl::shared();
    wait_for(ready);
    struct Client {
      SSL* session;
      BIO* in;
      BIO* out;
      SocketPair pair;
      std::thread server;
    };
    std::vector<Client> clients;
    for (unsigned number = 0; number < 2; ++number) {
      const auto pair = tcp_pair();
      Client client{tls.SSL_new(tls.context), tls.BIO_new(tls.BIO_s_mem()), tls.BIO_new(tls.BIO_s_mem()), pair, {}};
      tls.SSL_set_bio(client.session, client.in, client.out);
      tls.SSL_set_connect_state(client.session);
      client.server = std::thread([&tls, pair, number] {
        std::mt19937 random(1);
        OpenSslSide side(tls, pair.server, false);
        const std::string text = said(number, true);
        hear(side, text.size(), random);
      });
      clients.push_back(std::move(client));
    }
    for (Client& one : clients) tls.SSL_do_handshake(one.session);
    const auto move_bytes = [&](Client& one) {
      char buffer[16384];
      for (int size = 0; (size = tls.BIO_read(one.out, buffer, sizeof(buffer))) > 0;)
        REQUIRE_OR_EXIT(write(one.pair.client, buffer, static_cast<std::size_t>(size)) == size);
    };
    for (Client& one : clients) move_bytes(one);
    for (unsigned number = 0; number < 2; ++number) {
      Client& one = clients[number];
      while (tls.SSL_do_handshake(one.session) != 1) {
        move_bytes(one);
        char buffer[16384];
        const ssize_t got = read(one.pair.client, buffer, sizeof(buffer));
        REQUIRE_OR_EXIT(got > 0 && tls.BIO_write(one.in, buffer, static_cast<int>(got)) == got);
      }
      const std::string text = said(number, true);
      for (std::size_t at = 0; at < text.size(); at += 8192) {
        const auto size = static_cast<int>(std::min<std::size_t>(8192, text.size() - at));
        REQUIRE_OR_EXIT(tls.SSL_write(one.session, text.data() + at, size) == size);
        move_bytes(one);
      }
    }
    for (Client& one : clients) one.server.join();
  });
  // The servers, each on a thread of its own, heard all; of what the clients said, nothing is told as plaintext.
  std::map<ConnectionId, std::string> heard;
  for (const Transfer* transfer : traced.all<Transfer>()) {
    if (!transfer->encrypted) continue;
    EXPECT_EQ(transfer->direction, Direction::received);
    heard[transfer->connection] += transfer->head;
  }
  EXPECT_EQ(heard.size(), 2u);
  for (const auto& [connection, text] : heard) EXPECT_TRUE(text == said(0, true) || text == said(1, true));
  EXPECT_GT(traced.source().counters().tls_unplaced, 0u);
}

/// After what it hands on, closes the descriptor: as if another thread did, that had seen the answer to it already.
long close_behind_the_back(BIO* bio, int operation, const char*, std::size_t, int, long, int result, std::size_t*) {
  if (operation == (BIO_CB_WRITE | BIO_CB_RETURN)) close(static_cast<int>(BIO_get_fd(bio, nullptr)));
  return result;
}

TEST(TlsBpf, WhatACallMovedIsToldBeforeTheEndOfItsConnection) {
  TracedProcess traced;
  trace(traced, "libssl.so.3 (.dynsym)", [](int ready) {
    const OpenSsl tls = OpenSsl::shared();
    wait_for(ready);
    const auto pair = tcp_pair();
    std::thread other([&] {
      std::mt19937 random(1);
      OpenSslSide side(tls, pair.server, false);
      hear(side, 5, random);
    });
    SSL* session = tls.SSL_new(tls.context);
    REQUIRE_OR_EXIT(tls.SSL_set_fd(session, pair.client) == 1 && tls.SSL_connect(session) == 1);
    BIO_set_callback_ex(SSL_get_wbio(session), close_behind_the_back);
    REQUIRE_OR_EXIT(tls.SSL_write(session, "hello", 5) == 5);
    other.join();
  });
  const auto said = traced.all<Transfer>();
  const auto sent =
      std::find_if(said.begin(), said.end(), [](const Transfer* one) { return one->direction == Direction::sent; });
  ASSERT_NE(sent, said.end());
  EXPECT_EQ((*sent)->head, "hello");
  int ends = 0;
  for (const ConnectionClosed* closed : traced.all<ConnectionClosed>()) {
    if (closed->id != (*sent)->connection) continue;
    ++ends;
    EXPECT_EQ(closed->sent_bytes, 5u);
  }
  EXPECT_EQ(ends, 1);
  EXPECT_EQ(traced.source().counters().tls_unplaced, 0u);
}

/// Conversations of goroutines, which begin calls on one thread and end them on another, and whose stacks are moved.
TEST(TlsBpf, PlaintextOfGoIsCapturedByteForByte) {
#ifdef GO_TLS_PEER
  TracedProcess traced({.event_ring_bytes = 256u << 20, .message_budget_bytes = 1u << 30});
  for (const char* variant : {"plain", "stripped", "pie"}) {
    SCOPED_TRACE(variant);
    const std::string program = std::string(GO_TLS_PEER) + variant;
    trace(traced, std::string("go_tls_peer-") + variant + " (executable, .gopclntab)", [&program](int ready) {
      REQUIRE_OR_EXIT(dup2(ready, STDIN_FILENO) == STDIN_FILENO);
      execl(program.c_str(), program.c_str(), std::to_string(conversations()).c_str(), nullptr);
      _exit(101);
    });
    expect_all(traced);
    traced.forget();
  }
#else
  GTEST_SKIP() << "there was no Go compiler when this was built (package golang-go)";
#endif
}

}  // namespace
}  // namespace inferscope::test
