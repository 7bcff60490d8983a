// SPDX-License-Identifier: Apache-2.0
// A program that OpenSSL is linked into: it holds so many conversations over TLS with itself, once it reads a byte.
// usage: tls_peer CONVERSATIONS
#include <unistd.h>

#include <cstdlib>

#include "tests/support/tls_conversations.h"

using namespace inferscope::test;

int main(int count, char** arguments) {
  char byte = 0;
  if (count != 2 || read(STDIN_FILENO, &byte, 1) != 1) return 1;
  const OpenSsl tls = OpenSsl::linked();
  converse([&](int fd, bool client) { return std::make_unique<OpenSslSide>(tls, fd, client); },
           static_cast<unsigned>(std::strtoul(arguments[1], nullptr, 10)));
  return 0;
}
