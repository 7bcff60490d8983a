// SPDX-License-Identifier: Apache-2.0
#include "act/host.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "core/fd.h"

namespace inferscope::act {

Result<std::string> read_file(const std::filesystem::path& path, std::size_t limit) {
  const Fd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  std::string text;
  char buffer[4096];
  for (;;) {
    const ssize_t count = fd ? read(fd.get(), buffer, sizeof(buffer)) : -1;
    if (fd && count < 0 && errno == EINTR) continue;
    if (count < 0)
      return Error{fmt::format("cannot read {}: {}", path.native(), strerror(errno)),
                   {},
                   errno == EACCES || errno == EPERM ? Error::Kind::not_permitted : Error::Kind::failed};
    if (count == 0) return text;
    text.append(buffer, static_cast<std::size_t>(count));
    if (text.size() > limit) return Error{fmt::format("{} is longer than {} bytes", path.native(), limit)};
  }
}

}  // namespace inferscope::act
