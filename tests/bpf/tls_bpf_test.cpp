// SPDX-License-Identifier: Apache-2.0
// Plaintext at the functions of a real OpenSSL: what is captured is what was written, byte for byte.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "discover/tls_watch.h"
#include "tests/support/child_process.h"
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

/// Runs `code` once probes are in the file that is described so.
void trace(TracedProcess& traced, const std::string& description, const std::function<void(int ready)>& code) {
  const Pipe ready;
  discover::TlsWatch watch;
  bool followed = false;
  traced.each_turn([&] {
    if (!std::exchange(followed, true)) watch.follow(traced.child(), traced.source().now());
    watch.tick(traced.source().now(), [&](const TlsLibrary& library) {
      if (describe(library) != description) return;
      const auto status = traced.source().watch(library);
      EXPECT_TRUE(status) << status.error().text();
      EXPECT_EQ(write(ready.ends[1], "x", 1), 1);
    });
  });
  traced.run([&] { code(ready.ends[0]); });
  ASSERT_EQ(traced.status(), 0);
}

TEST(TlsBpf, PlaintextIsCapturedByteForByte) {
  TracedProcess traced({.event_ring_bytes = 256u << 20, .message_budget_bytes = 1u << 30});
  {
    SCOPED_TRACE("a shared library");
    trace(traced, "libssl.so.3 (.dynsym)", [](int ready) {
      const OpenSsl tls = OpenSsl::shared();
      char byte = 0;
      REQUIRE_OR_EXIT(read(ready, &byte, 1) == 1);
      converse(tls, conversations());
    });
    expect_all(traced);
  }
  for (const auto& [description, program] :
       {std::pair{"tls_peer_fixed (executable, .symtab)", TLS_PEER_FIXED},
        std::pair{"tls_peer_fixed-stripped (executable, .rodata, .eh_frame)", TLS_PEER_FIXED "-stripped"},
        std::pair{"tls_peer_pie-stripped (executable, .rodata, .eh_frame)", TLS_PEER_PIE "-stripped"}}) {
    traced.forget();
    SCOPED_TRACE(description);
    trace(traced, description, [program = program](int ready) {
      REQUIRE_OR_EXIT(dup2(ready, STDIN_FILENO) == STDIN_FILENO);
      execl(program, program, std::to_string(conversations()).c_str(), nullptr);
      _exit(101);
    });
    expect_all(traced);
  }
}

}  // namespace
}  // namespace inferscope::test
