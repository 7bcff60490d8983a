/* SPDX-License-Identifier: Apache-2.0 */
/* What OpenSSL's functions call, and who calls them. PLAIN_ONLY: SSL_read and its kind; EX_ONLY: SSL_read_ex and its.
 */
#include "openssl_shape.h"

volatile int sink;
void ERR_new(void) {
  sink = 1;
}
void ERR_set_debug(const char* file, int line, const char* function) {
  sink = line + *file + *function;
}
void ERR_set_error(int library, int reason, const char* text) {
  sink = library + reason + (text != 0);
}
void ERR_put_error(int library, int function, int reason, const char* file, int line) {
  sink = library + function + reason + *file + line;
}
void CRYPTO_free(void* memory, const char* file, int line) {
  sink = line + *file + (memory != 0);
}
struct session* make_memory(struct context* context) {
  static struct session one;
  one.context = context;
  return &one;
}
int check_state(struct session* session, int sending) {
  return session->shutdown + sending;
}
const char* volatile label = "extended master secret";

/* As what reads from a session that it holds: not its own arguments are handed on. */
int bio_read(struct session** held, void* buffer, size count, size* moved) {
  return ssl_read_internal(*held, buffer, count, moved);
}

/* Another's, which tells of them when it fails. */
__attribute__((noinline)) int wrapper(struct session* session, void* buffer, int count) {
  int result = SSL_read(session, buffer, count);
  if (result < 0) ERR_set_debug("program.c", __LINE__, "SSL_read");
  return result + 1;
}

void _start(void) {
  size moved;
  char buffer[8];
  struct session* session = SSL_new((struct context*)buffer);
  sink = *label;
  sink = SSL_do_handshake(session);
#ifndef EX_ONLY
  sink = SSL_read(session, buffer, 8) + wrapper(session, buffer, 8);
  sink = SSL_write(session, buffer, 8) + SSL_peek(session, buffer, 8);
#endif
#ifndef PLAIN_ONLY
  sink = SSL_read_ex(session, buffer, 8, &moved) + SSL_write_ex(session, buffer, 8, &moved);
#endif
  sink = bio_read(&session, buffer, 8, &moved);
  SSL_free(session);
  for (;;) {
  }
}
