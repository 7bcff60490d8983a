// SPDX-License-Identifier: Apache-2.0
#include "act/guard.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <thread>

#include "act/journal_record.h"
#include "core/clock.h"
#include "core/log.h"

namespace inferscope::act {
namespace {

constexpr const char* process_name =
    "inferscope-grd";                                // the kernel keeps 15 bytes; the never-touch list has inferscope*
constexpr Duration grace = std::chrono::seconds(2);  // for the agent to end its lease itself
constexpr int poll_ms = 500;
constexpr int tries = 20;
constexpr Duration between_tries = std::chrono::milliseconds(250);

}  // namespace

void Guard::on(std::string_view message) {
  auto record = decode(message);
  if (!record || record->kind == Record::Kind::done) return;
  const auto same = std::find_if(held_.begin(), held_.end(),
                                 [&](const Lease& lease) { return lease.effect.id == record->lease.effect.id; });
  if (record->kind == Record::Kind::undone) {
    if (same != held_.end()) held_.erase(same);
  } else if (same != held_.end()) {
    *same = std::move(record->lease);
  } else {
    held_.push_back(std::move(record->lease));
  }
}

void Guard::tick(Time time) {
  std::vector<Lease> due;
  for (const Lease& lease : held_)
    if (lease.effect.lease_until + grace <= time) due.push_back(lease);
  if (!due.empty()) finish(due, "the agent let its lease run out");
}

bool Guard::undo_all() {
  finish(held_, "the agent has ended");
  return held_.empty();
}

void Guard::finish(std::vector<Lease> leases, std::string_view why) {
  std::reverse(leases.begin(), leases.end());
  std::vector<Undone> all;
  all.reserve(leases.size());
  for (const Lease& lease : leases) all.push_back(undo(lease, roots_));
  // Told when all is done: where the log goes to may stand still.
  for (std::size_t i = 0; i < leases.size(); ++i) {
    const Effect& effect = leases[i].effect;
    const bool ok = all[i].how != Undone::How::failed;
    if (ok) std::erase_if(held_, [&](const Lease& lease) { return lease.effect.id == effect.id; });
    log::write(ok ? log::Level::info : log::Level::error,
               fmt::format("{}: {}", why, ok ? "undone" : "cannot be undone"),
               {{"effect", effect.id}, {"where", effect.where}, {"note", all[i].note}});
  }
}

Status run_guard(const HostRoots& roots, int channel) {
  const Error no_agent{"the guardian is started by the agent", "there is no use for it otherwise", Error::Kind::usage};
  int type = 0;
  socklen_t size = sizeof(type);
  if (getsockopt(channel, SOL_SOCKET, SO_TYPE, &type, &size) != 0 || type != SOCK_SEQPACKET) return no_agent;
  prctl(PR_SET_NAME, process_name);
  if (chdir("/") != 0) log::warn("the guardian keeps the agent's working folder in use");
  if (send(channel, guard_ready.data(), guard_ready.size(), MSG_NOSIGNAL) < 0) return no_agent;
  Guard guard(roots);
  std::string message(record_limit + 1, '\0');
  for (;;) {
    pollfd waiting{.fd = channel, .events = POLLIN, .revents = 0};
    if (poll(&waiting, 1, guard.held().empty() ? -1 : poll_ms) > 0) {
      const ssize_t count = recv(channel, message.data(), message.size(), MSG_DONTWAIT);
      if (count == 0 || (count < 0 && errno != EAGAIN && errno != EINTR)) break;
      if (count > 0) guard.on(std::string_view(message).substr(0, static_cast<std::size_t>(count)));
    }
    guard.tick(kernel_now());
  }
  for (int i = 0; !guard.undo_all(); ++i) {
    if (i == tries) return Error{"the guardian could not undo all", "the agent tries again at its next start"};
    std::this_thread::sleep_for(between_tries);
  }
  return success();
}

}  // namespace inferscope::act
