// SPDX-License-Identifier: Apache-2.0
#include "act/journal.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string_view>
#include <system_error>
#include <thread>

#include "act/host.h"

namespace inferscope::act {
namespace {

namespace fs = std::filesystem;

constexpr const char* journal_name = "journal";
constexpr const char* new_name = "journal.new";
constexpr std::size_t journal_limit = 16u << 20;
constexpr std::size_t rewrite_least = 64u << 10;
constexpr int aside_limit = 1000;

Error problem_with(const fs::path& path, const char* what) {
  const int error = errno;
  Error problem{fmt::format("cannot {} {}: {}", what, path.native(), strerror(error))};
  if (error == ENOSPC || error == EDQUOT) problem.remedy = "make room: without a record nothing is done";
  if (error == EACCES || error == EPERM || error == EROFS) problem.kind = Error::Kind::not_permitted;
  return problem;
}

/// A name in a folder is durable only when the folder is.
Status sync_folder(const fs::path& folder) {
  const Fd fd(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd || fsync(fd.get()) != 0) return problem_with(folder, "write");
  return success();
}

Status write_all(const Fd& fd, std::string_view text, const fs::path& path) {
  while (!text.empty()) {
    const ssize_t count = write(fd.get(), text.data(), text.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return problem_with(path, "write");
    text.remove_prefix(static_cast<std::size_t>(count));
  }
  return success();
}

Status make_folder(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder.parent_path(), error);
  if (mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) return problem_with(folder, "make");
  struct stat status {};
  if (stat(folder.c_str(), &status) != 0) return problem_with(folder, "use");
  // Who can write there could have any value written back.
  if (status.st_uid != geteuid() || (status.st_mode & 022) != 0)
    return Error{fmt::format("{} may be written to by others", folder.native()), "chown root, chmod 700"};
  return sync_folder(folder.parent_path());
}

Result<Fd> lock_folder(const fs::path& folder, Duration wait) {
  const fs::path path = folder / "lock";
  Fd lock(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!lock) return problem_with(path, "open");
  const auto until = std::chrono::steady_clock::now() + wait;
  while (flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK && errno != EINTR) return problem_with(path, "lock");
    if (std::chrono::steady_clock::now() >= until)
      return Error{fmt::format("another inferscope uses {}", folder.native()),
                   "give this one a state folder of its own"};
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return lock;
}

}  // namespace

Result<std::unique_ptr<Journal>> Journal::open(const fs::path& state_folder, Duration wait) {
  fs::path folder = fs::absolute(state_folder).lexically_normal();
  if (!folder.has_filename()) folder = folder.parent_path();  // written with a slash at its end
  if (auto status = make_folder(folder); !status) return status.error();
  auto lock = lock_folder(folder, wait);
  if (!lock) return lock.error();
  std::unique_ptr<Journal> journal(new Journal(folder, std::move(*lock)));
  journal->read();
  return journal;
}

void Journal::read() {
  const fs::path path = folder_ / journal_name;
  std::error_code error;
  if (fs::exists(path, error) || error) {
    const auto text = read_file(path, journal_limit);
    JournalContent content;
    if (text) content = read_journal(*text);
    outstanding_ = std::move(content.outstanding);
    if (!text) set_aside(text.error().text());
    if (content.damaged_lines > 0) set_aside(fmt::format("{} of its lines are damaged", content.damaged_lines));
  }
  // A disk that is full must not keep from undoing what is read: it only keeps from doing anything new.
  if (auto status = rewrite(); !status) {
    broken_ = true;
    warnings_.push_back(status.error().text());
  }
}

void Journal::set_aside(const std::string& why) {
  const fs::path path = folder_ / journal_name;
  for (int number = 1; number <= aside_limit; ++number) {
    const fs::path aside = folder_ / fmt::format("{}.corrupt.{}", journal_name, number);
    std::error_code error;
    if (fs::exists(aside, error)) continue;
    fs::rename(path, aside, error);
    warnings_.push_back(fmt::format("the journal of an earlier run {} {}: {}",
                                    error ? "could not be set aside as" : "was set aside as", aside.native(), why));
    return;
  }
  warnings_.push_back(
      fmt::format("{} holds too many damaged journals: look at them, and remove them", folder_.native()));
}

Status Journal::rewrite() {
  std::string text;
  for (const Lease& lease : outstanding_) text += encode({Record::Kind::intent, lease}) + "\n";
  const fs::path path = folder_ / new_name;
  Fd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file) return problem_with(path, "open");
  if (auto status = write_all(file, text, path); !status) return status;
  if (fdatasync(file.get()) != 0 || rename(path.c_str(), (folder_ / journal_name).c_str()) != 0)
    return problem_with(path, "write");
  file_ = std::move(file);
  size_ = text.size();
  rewrite_at_ = std::max(rewrite_least, 4 * size_);
  broken_ = false;
  return sync_folder(folder_);
}

Status Journal::append(const Record& record, bool durable) {
  const std::string line = encode(record) + "\n";
  if (line.size() > record_limit) return Error{"the record of what is to be done is too long"};
  if (broken_ || size_ + line.size() > rewrite_at_)
    if (auto status = rewrite(); !status) return status;
  auto status = write_all(file_, line, folder_ / journal_name);
  if (status && durable && fdatasync(file_.get()) != 0) status = problem_with(folder_ / journal_name, "write");
  if (status) {
    size_ += line.size();
  } else {
    // Half a line would spoil the next one, and a whole one would speak of something that is not done.
    broken_ = ftruncate(file_.get(), static_cast<off_t>(size_)) != 0;
  }
  return status;
}

Status Journal::intent(const Lease& lease) {
  if (auto status = append({Record::Kind::intent, lease}, true); !status) return status;
  const auto same = std::find_if(outstanding_.begin(), outstanding_.end(),
                                 [&](const Lease& other) { return other.effect.id == lease.effect.id; });
  if (same != outstanding_.end()) {
    *same = lease;
  } else {
    outstanding_.push_back(lease);
  }
  return success();
}

Status Journal::done(const std::string& effect) {
  Record record{.kind = Record::Kind::done};
  record.lease.effect.id = effect;
  return append(record, false);  // whether it was done is seen where it was done
}

Status Journal::undone(const std::string& effect) {
  std::erase_if(outstanding_, [&](const Lease& lease) { return lease.effect.id == effect; });
  Record record{.kind = Record::Kind::undone};
  record.lease.effect.id = effect;
  return append(record, true);
}

}  // namespace inferscope::act
