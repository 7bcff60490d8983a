// SPDX-License-Identifier: Apache-2.0
// Functions with the names and arguments of OpenSSL's, in the clear, whose sessions are descriptors: for those that the
// distribution's OpenSSL does not have, or that need more of the kernel.
#include <stddef.h>
#include <stdint.h>
#include <sys/sendfile.h>
#include <sys/types.h>
#include <unistd.h>

// None of them is an exit of the other.
#define NOT_INLINE __attribute__((noinline, visibility("default")))

NOT_INLINE int SSL_read(void* session, void* buffer, int size) {
  return (int)read((int)(intptr_t)session, buffer, (size_t)size);
}
NOT_INLINE int SSL_write(void* session, const void* buffer, int size) {
  return (int)write((int)(intptr_t)session, buffer, (size_t)size);
}
NOT_INLINE int SSL_write_ex2(void* session, const void* buffer, size_t size, uint64_t flags, size_t* written) {
  ssize_t count = flags == 0 ? write((int)(intptr_t)session, buffer, size) : -1;
  if (count <= 0) return 0;
  *written = (size_t)count;
  return 1;
}
NOT_INLINE ssize_t SSL_sendfile(void* session, int file, off_t offset, size_t size, int flags) {
  return flags == 0 ? sendfile((int)(intptr_t)session, file, &offset, size) : -1;
}
