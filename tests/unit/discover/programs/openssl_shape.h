/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

typedef unsigned long size;

struct session;
struct method {
  int (*read)(struct session*, void*, size, size*);
  int (*peek)(struct session*, void*, size, size*);
  int (*write)(struct session*, const void*, size, size*);
  void (*free)(struct session*);
};
struct context {
  int references;
};
struct session {
  const struct method* method;
  int references;
  int shutdown;
  int (*shake_hands)(struct session*);
  struct context* context;
  void* owned[4];
};

/* How the compiler places what reports errors. */
#ifdef COLD
#define REPORTS __attribute__((cold))
#else
#define REPORTS
#endif
REPORTS void ERR_new(void);
REPORTS void ERR_set_debug(const char* file, int line, const char* function);
REPORTS void ERR_set_error(int library, int reason, const char* text);
REPORTS void ERR_put_error(int library, int function, int reason, const char* file, int line);
void CRYPTO_free(void* memory, const char* file, int line);
struct session* make_memory(struct context* context);
int check_state(struct session* session, int sending);

struct session* SSL_new(struct context* context);
int SSL_do_handshake(struct session* session);
int SSL_read(struct session* session, void* buffer, int count);
int SSL_peek(struct session* session, void* buffer, int count);
int SSL_write(struct session* session, const void* buffer, int count);
int SSL_read_ex(struct session* session, void* buffer, size count, size* moved);
int SSL_write_ex(struct session* session, const void* buffer, size count, size* moved);
int ssl_read_internal(struct session* session, void* buffer, size count, size* moved);
void SSL_free(struct session* session);
