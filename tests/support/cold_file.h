// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "tests/support/temp_folder.h"

namespace inferscope::test {

/// Whether files of tests lie on one; in a machine that is booted for a test they lie in memory.
inline bool have_disk() {
  const TempFolder folder;
  struct statfs about {};
  return statfs(folder.path().c_str(), &about) == 0 && about.f_type != TMPFS_MAGIC && about.f_type != RAMFS_MAGIC &&
         about.f_type != OVERLAYFS_SUPER_MAGIC;
}

/// A file whose content is on the disk only.
class ColdFile {
 public:
  ColdFile() {
    std::ofstream(path(), std::ios::binary) << std::string(size, 'x');
    const int fd = open(path().c_str(), O_RDONLY | O_CLOEXEC);
    fsync(fd);
    posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM);
    close(fd);
  }
  static constexpr std::size_t size = 64u << 20;
  [[nodiscard]] std::filesystem::path path() const { return folder_.path() / "cold"; }

 private:
  TempFolder folder_{};
};

}  // namespace inferscope::test
