/* SPDX-License-Identifier: Apache-2.0 */
/* Functions that hand on their arguments and report errors as OpenSSL's do, as far as that is seen in a program without
 * names. SHAPE: 111, 300 or 330, the version. COLD: what reports errors is put elsewhere by the compiler. */
#include "openssl_shape.h"

#line 1 "../ssl/ssl_lib.c"
#if SHAPE == 111
#define ERROR(number, reason) ERR_put_error(20, number, reason, __FILE__, __LINE__)
#else
#define ERROR(number, reason) (ERR_new(), ERR_set_debug(__FILE__, __LINE__, __func__), ERR_set_error(20, reason, 0))
#endif
#if SHAPE == 330
#define FLAGS unsigned long flags,
#define NO_FLAGS 0,
#else
#define FLAGS
#define NO_FLAGS
#endif

void SSL_CTX_free(struct context* context) {
  if (context == 0 || __atomic_sub_fetch(&context->references, 1, __ATOMIC_RELAXED) > 0) return;
  CRYPTO_free(context, __FILE__, __LINE__);
}

void SSL_free(struct session* session) {
  if (session == 0 || __atomic_sub_fetch(&session->references, 1, __ATOMIC_RELAXED) > 0) return;
  for (int i = 0; i < 4; ++i) {
    CRYPTO_free(session->owned[i], __FILE__, __LINE__);
    session->owned[i] = 0;
  }
  session->method->free(session);
  SSL_CTX_free(session->context);
  CRYPTO_free(session, __FILE__, __LINE__);
}

struct session* SSL_new(struct context* context) {
  if (context == 0) {
    ERROR(186, 195);
    return 0;
  }
  struct session* session = make_memory(context);
  if (check_state(session, 2) == 0) return session;
  SSL_free(session);
  ERROR(186, 65);
  return 0;
}

int ssl_read_internal(struct session* session, void* buffer, size count, size* moved) {
  if (session->shake_hands == 0) {
    ERROR(523, 276);
    return -1;
  }
  if (session->shutdown != 0) return 0;
  check_state(session, 0);
  return session->method->read(session, buffer, count, moved);
}

int SSL_read(struct session* session, void* buffer, int count) {
  size moved;
  if (count < 0) {
    ERROR(223, 271);
    return -1;
  }
  int result = ssl_read_internal(session, buffer, (size)count, &moved);
  return result > 0 ? (int)moved : result;
}

int SSL_read_ex(struct session* session, void* buffer, size count, size* moved) {
  int result = ssl_read_internal(session, buffer, count, moved);
  return result < 0 ? 0 : result;
}

int ssl_peek_internal(struct session* session, void* buffer, size count, size* moved) {
  if (session->shake_hands == 0) {
    ERROR(522, 276);
    return -1;
  }
  return session->method->peek(session, buffer, count, moved);
}

int SSL_peek(struct session* session, void* buffer, int count) {
  size moved;
  if (count < 0) {
    ERROR(270, 271);
    return -1;
  }
  int result = ssl_peek_internal(session, buffer, (size)count, &moved);
  return result > 0 ? (int)moved : result;
}

int ssl_write_internal(struct session* session, const void* buffer, size count, FLAGS size* moved) {
  if (session->shake_hands == 0) {
    ERROR(524, 276);
    return -1;
  }
#if SHAPE == 330
  if (flags != 0) {
    ERROR(0, 412);
    return -1;
  }
#endif
  check_state(session, 1);
  return session->method->write(session, buffer, count, moved);
}

int SSL_write(struct session* session, const void* buffer, int count) {
  size moved;
  if (count < 0) {
    ERROR(208, 271);
    return -1;
  }
  int result = ssl_write_internal(session, buffer, (size)count, NO_FLAGS & moved);
  return result > 0 ? (int)moved : result;
}

#if SHAPE == 330
int SSL_write_ex2(struct session* session, const void* buffer, size count, unsigned long flags, size* moved) {
  int result = ssl_write_internal(session, buffer, count, flags, moved);
  return result < 0 ? 0 : result;
}
int SSL_write_ex(struct session* session, const void* buffer, size count, size* moved) {
  return SSL_write_ex2(session, buffer, count, 0, moved);
}
#else
int SSL_write_ex(struct session* session, const void* buffer, size count, size* moved) {
  int result = ssl_write_internal(session, buffer, count, moved);
  return result < 0 ? 0 : result;
}
#endif

int SSL_do_handshake(struct session* session) {
  if (session->shake_hands == 0) {
    ERROR(180, 144);
    return -1;
  }
  check_state(session, -1);
  return session->shake_hands(session);
}
