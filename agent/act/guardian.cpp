// SPDX-License-Identifier: Apache-2.0
#include "act/guardian.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <thread>

#include "act/guard.h"
#include "act/journal_record.h"

namespace inferscope::act {
namespace {

constexpr int ready_wait_ms = 2000;
constexpr Duration end_wait = std::chrono::seconds(6);  // a little longer than it tries

struct SpawnActions {
  posix_spawn_file_actions_t files{};
  posix_spawnattr_t attributes{};

  SpawnActions() {
    posix_spawn_file_actions_init(&files);
    posix_spawnattr_init(&attributes);
  }
  SpawnActions(const SpawnActions&) = delete;
  SpawnActions& operator=(const SpawnActions&) = delete;
  ~SpawnActions() {
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&attributes);
  }
};

/// Above all that the child's descriptors are put at, where dup2() would else overwrite it or leave it to be closed.
Fd moved_up(Fd fd) {
  return Fd(fcntl(fd.get(), F_DUPFD_CLOEXEC, guard_lock_fd + 1));
}

}  // namespace

Guardian::Guardian(std::vector<std::string> command, const HostRoots& roots, int lock_fd)
    : command_(std::move(command)), lock_fd_(lock_fd) {
  command_.push_back(roots.proc);
  command_.push_back(roots.cgroups);
}

Guardian::~Guardian() {
  shutdown(channel_.get(), SHUT_RDWR);  // and not only closed: a process that was forked off may have it, too
  const auto until = std::chrono::steady_clock::now() + end_wait;
  while (pid_ > 0 && waitpid(pid_, nullptr, WNOHANG) == 0 && std::chrono::steady_clock::now() < until)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
}

Status Guardian::ensure() {
  if (alive()) return success();
  if (auto status = start(); !status) {
    replace();
    return status;
  }
  for (const auto& [effect, message] : held_)
    if (!tell(message)) return Error{fmt::format("the guardian does not take what it is told: {}", strerror(errno))};
  return success();
}

Status Guardian::hold(const Lease& lease) {
  std::string message = encode({Record::Kind::intent, lease});
  if (message.size() > record_limit) return Error{"what is to be done is too long to tell the guardian"};
  const auto same =
      std::find_if(held_.begin(), held_.end(), [&](const auto& held) { return held.first == lease.effect.id; });
  const auto at = same != held_.end() ? same : held_.emplace(held_.end(), lease.effect.id, std::string());
  at->second = std::move(message);
  if (alive() && tell(at->second)) return success();
  replace();  // a new one is told all
  return ensure();
}

void Guardian::forget(const std::string& effect) {
  std::erase_if(held_, [&](const auto& held) { return held.first == effect; });
  Record record{.kind = Record::Kind::undone};
  record.lease.effect.id = effect;
  tell(encode(record));  // one that does not hear it finds nothing to undo
}

Status Guardian::start() {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
    return Error{fmt::format("cannot make a channel to the guardian: {}", strerror(errno))};
  channel_ = Fd(ends[0]);
  Fd theirs = moved_up(Fd(ends[1]));

  SpawnActions actions;
  sigset_t all;
  sigfillset(&all);
  posix_spawn_file_actions_adddup2(&actions.files, lock_fd_, guard_lock_fd);
  posix_spawn_file_actions_adddup2(&actions.files, theirs.get(), guard_channel_fd);
  posix_spawn_file_actions_addopen(&actions.files, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
  posix_spawn_file_actions_addclosefrom_np(&actions.files, guard_lock_fd + 1);
  // Whoever ends the agent's service asks all of its processes to end; this one has to stay a moment longer.
  posix_spawnattr_setsigmask(&actions.attributes, &all);
  posix_spawnattr_setflags(&actions.attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK);
  std::vector<char*> arguments;
  for (std::string& argument : command_) arguments.push_back(argument.data());
  arguments.push_back(nullptr);
  char* environment[] = {nullptr};
  pid_t pid = 0;
  if (const int error = posix_spawn(&pid, arguments[0], &actions.files, &actions.attributes, arguments.data(),
                                    static_cast<char**>(environment)))
    return Error{fmt::format("cannot start the guardian {}: {}", command_.front(), strerror(error))};
  pid_ = pid;
  theirs.reset();  // else the end of a child that is no guardian would not be seen
  pollfd waiting{.fd = channel_.get(), .events = POLLIN, .revents = 0};
  char answer[16];
  const ssize_t size = poll(&waiting, 1, ready_wait_ms) > 0 ? recv(channel_.get(), answer, sizeof(answer), 0) : -1;
  if (size <= 0 || std::string_view(answer, static_cast<std::size_t>(size)) != guard_ready)
    return Error{fmt::format("the guardian {} does not answer", command_.front())};
  return success();
}

void Guardian::replace() {
  if (pid_ > 0 && kill(pid_, SIGKILL) == 0)
    while (waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
    }
  pid_ = 0;
  channel_.reset();
}

bool Guardian::alive() {
  if (pid_ > 0 && waitpid(pid_, nullptr, WNOHANG) != 0) pid_ = 0;
  return pid_ > 0 && channel_;
}

bool Guardian::tell(const std::string& message) {
  return send(channel_.get(), message.data(), message.size(), MSG_NOSIGNAL | MSG_DONTWAIT) ==
         static_cast<ssize_t>(message.size());
}

}  // namespace inferscope::act
