// SPDX-License-Identifier: Apache-2.0
// A program that OpenSSL is linked into; nobody runs it.
#include <openssl/ssl.h>

int main() {
  SSL_CTX* context = SSL_CTX_new(TLS_method());
  SSL* session = SSL_new(context);
  char buffer[8] = {};
  std::size_t moved = 0;
  const bool all = SSL_do_handshake(session) == 1 && SSL_peek(session, buffer, 8) == 8 &&
                   SSL_read(session, buffer, 8) == 8 && SSL_read_ex(session, buffer, 8, &moved) == 1 &&
                   SSL_write(session, buffer, 8) == 8 && SSL_write_ex(session, buffer, 8, &moved) == 1;
  SSL_free(session);
  SSL_CTX_free(context);
  return all ? 0 : 1;
}
