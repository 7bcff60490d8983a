// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "core/fd.h"
#include "discover/elf/elf_file.h"

namespace inferscope::discover {

/// Reads of a file, whose bytes are counted. Never maps it: whoever shortens a mapped file would end us.
class FileReader {
 public:
  explicit FileReader(const std::string& path) : file_(open(path.c_str(), O_RDONLY | O_CLOEXEC)) {}

  explicit operator bool() const { return static_cast<bool>(file_); }
  [[nodiscard]] std::uint64_t bytes_read() const { return bytes_read_; }
  [[nodiscard]] struct stat status() const {
    struct stat status {};
    fstat(file_.get(), &status);
    return status;
  }
  /// Nothing if it is no such file. Must not outlive this.
  std::optional<ElfFile> elf() {
    return ElfFile::open([this](std::uint64_t offset, std::span<std::byte> into) { return read(offset, into); });
  }

 private:
  std::size_t read(std::uint64_t offset, std::span<std::byte> into) {
    std::size_t done = 0;
    while (done < into.size()) {
      const ssize_t count =
          pread(file_.get(), into.data() + done, into.size() - done, static_cast<off_t>(offset + done));
      if (count < 0 && errno == EINTR) continue;
      if (count <= 0) break;
      done += static_cast<std::size_t>(count);
    }
    bytes_read_ += done;
    return done;
  }

  Fd file_;
  std::uint64_t bytes_read_ = 0;
};

}  // namespace inferscope::discover
