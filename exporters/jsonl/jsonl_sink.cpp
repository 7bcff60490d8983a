// SPDX-License-Identifier: Apache-2.0
#include "exporters/jsonl/jsonl_sink.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string_view>
#include <utility>
#include <vector>

#include "core/fd.h"
#include "core/log.h"
#include "exporters/worker.h"
#include "model/trace_json.h"

namespace inferscope::exporters {
namespace {

constexpr std::size_t lines_at_once = 256;

Result<Fd> open_file(const std::string& path) {
  Fd fd(open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  if (!fd)
    return Error{fmt::format("cannot write {}: {}", path, strerror(errno)),
                 "set export.jsonl.path to a file that can be written", Error::Kind::usage};
  return fd;
}

class JsonlSink : public Sink {
 public:
  JsonlSink(JsonlOptions options, Fd file)
      : options_(std::move(options)),
        file_(std::move(file)),
        worker_({.queue = options_.queue_lines, .batch = lines_at_once}, [this](const std::vector<std::string>& lines) {
          for (const std::string& line : lines) write_line(line);
        }) {}

  using Sink::put;
  void put(const RequestTrace& trace) override { worker_.put(to_json(trace, options_.token_times) + '\n'); }
  void shut_down(Duration /*limit: a local file needs none*/) override { worker_.close(); }
  [[nodiscard]] std::string name() const override { return "jsonl"; }
  [[nodiscard]] StageStats stats() const override { return worker_.stats(); }

 private:
  void write_line(const std::string& line) {
    rotate_if_full(line.size());
    const bool written = file_ && write_all(line);
    if (!written && !std::exchange(failing_, true))
      log::error("traces are not written", {{"file", options_.path}, {"problem", strerror(errno)}});
    if (written) failing_ = false;
    if (written)
      worker_.delivered(1);
    else
      worker_.drop("write failed", 1);
  }

  /// All of it or nothing: half a line would spoil the next one, too.
  bool write_all(std::string_view text) {
    struct stat before {};
    const bool can_undo = fstat(file_.get(), &before) == 0 && S_ISREG(before.st_mode);
    while (!text.empty()) {
      const ssize_t count = write(file_.get(), text.data(), text.size());
      if (count < 0 && errno == EINTR) continue;
      if (count <= 0) {
        const int problem = errno;
        if (can_undo) (void)!ftruncate(file_.get(), before.st_size);
        errno = problem;
        return false;
      }
      text.remove_prefix(static_cast<std::size_t>(count));
    }
    return true;
  }

  void rotate_if_full(std::size_t more) {
    struct stat status {};
    if (options_.rotate_bytes == 0 || !file_ || fstat(file_.get(), &status) != 0) return;
    const auto size = static_cast<std::uint64_t>(status.st_size);
    if (size == 0 || size + more <= options_.rotate_bytes) return;
    std::rename(options_.path.c_str(), (options_.path + ".1").c_str());
    if (auto file = open_file(options_.path)) file_ = std::move(file).value();
  }

  JsonlOptions options_;
  Fd file_;
  bool failing_ = false;
  Worker<std::string> worker_;
};

}  // namespace

Result<std::unique_ptr<Sink>> make_jsonl_sink(const JsonlOptions& options) {
  auto file = open_file(options.path);
  if (!file) return file.error();
  return std::unique_ptr<Sink>(std::make_unique<JsonlSink>(options, std::move(file).value()));
}

}  // namespace inferscope::exporters
