// SPDX-License-Identifier: Apache-2.0
#include "cli/api_client.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "core/fd.h"

namespace inferscope::cli {
namespace {

Result<Fd> connect_to(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path))
    return Error{fmt::format("'{}' is too long for a socket's path", path), {}, Error::Kind::usage};
  std::memcpy(address.sun_path, path.data(), path.size());
  Fd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (fd && connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0) return fd;
  if (errno == EACCES || errno == EPERM)
    return Error{fmt::format("{} may be opened by its owner only", path), "run as root", Error::Kind::not_permitted};
  return Error{fmt::format("no agent answers at {} ({})", path, strerror(errno)),
               "start one with 'inferscope run', or name its socket with --socket"};
}

Status exchange(const std::string& socket_path, const char* method, const std::string& target,
                const std::function<bool(std::string_view)>& on_line) {
  auto fd = connect_to(socket_path);
  if (!fd) return fd.error();
  // HTTP/1.0, so that the answer is not chunked and ends with the connection.
  const std::string request = fmt::format("{} {} HTTP/1.0\r\n{}\r\n", method, target,
                                          std::string_view(method) == "POST" ? "Content-Length: 0\r\n" : "");
  if (write(fd->get(), request.data(), request.size()) != static_cast<ssize_t>(request.size()))
    return Error{fmt::format("the agent at {} does not take requests: {}", socket_path, strerror(errno))};
  std::string pending;
  bool in_body = false, refused = false;
  std::array<char, 16384> buffer{};
  for (;;) {
    const ssize_t got = read(fd->get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) return success();  // Ctrl-C
    if (got < 0) return Error{fmt::format("the agent's answer broke off: {}", strerror(errno))};
    if (got == 0) break;
    pending.append(buffer.data(), static_cast<std::size_t>(got));
    if (!in_body) {
      const auto head_end = pending.find("\r\n\r\n");
      if (head_end == std::string::npos) continue;
      const std::string status_line = pending.substr(0, pending.find("\r\n"));
      if (status_line.starts_with("HTTP/1.") && status_line.find(" 422") == 8) {
        refused = true;  // the agent says in words what is wrong
      } else if (!status_line.starts_with("HTTP/1.") || status_line.find(" 200") != 8) {
        return Error{fmt::format("the agent refused {}: {}", target, status_line), "is it of another version?"};
      }
      pending.erase(0, head_end + 4);
      in_body = true;
    }
    if (refused) continue;
    std::size_t begin = 0;
    for (std::size_t end = 0; (end = pending.find('\n', begin)) != std::string::npos; begin = end + 1)
      if (!on_line(std::string_view(pending).substr(begin, end - begin))) return success();
    pending.erase(0, begin);
  }
  if (refused) return Error{pending, {}, Error::Kind::usage};
  if (!in_body) return Error{fmt::format("what listens at {} gave no HTTP answer", socket_path), "is it the agent?"};
  return success();
}

}  // namespace

Status ask_agent(const std::string& socket_path, const std::string& target,
                 const std::function<bool(std::string_view)>& on_line) {
  return exchange(socket_path, "GET", target, on_line);
}
Status tell_agent(const std::string& socket_path, const std::string& target,
                  const std::function<bool(std::string_view)>& on_line) {
  return exchange(socket_path, "POST", target, on_line);
}

}  // namespace inferscope::cli
