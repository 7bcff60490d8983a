// SPDX-License-Identifier: Apache-2.0
#include "store/audit.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <openssl/sha.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <fstream>
#include <iterator>
#include <optional>
#include <system_error>
#include <utility>

#include "core/clock.h"
#include "store/set_aside.h"

namespace inferscope::store {
namespace {

constexpr std::string_view first_hash = "0000000000000000000000000000000000000000000000000000000000000000";

std::string hash_of(std::string_view before, std::uint64_t sequence, std::int64_t unix_ns, std::string_view text) {
  const std::string all = fmt::format("{} {} {} {}", before, sequence, unix_ns, text);
  std::array<unsigned char, SHA256_DIGEST_LENGTH> digest{};
  SHA256(reinterpret_cast<const unsigned char*>(all.data()), all.size(), digest.data());
  return fmt::format("{:02x}", fmt::join(digest, ""));
}

struct Line {
  std::uint64_t sequence = 0;
  std::int64_t unix_ns = 0;
  std::string_view hash{};
  std::string_view text{};
};

template <class Number>
std::optional<Number> whole(std::string_view text) {
  Number number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

std::optional<Line> parse(std::string_view line) {
  const auto first = line.find(' ');
  const auto second = first == std::string_view::npos ? first : line.find(' ', first + 1);
  const auto third = second == std::string_view::npos ? second : line.find(' ', second + 1);
  if (third == std::string_view::npos) return std::nullopt;
  const auto sequence = whole<std::uint64_t>(line.substr(0, first));
  const auto time = whole<std::int64_t>(line.substr(first + 1, second - first - 1));
  if (!sequence || !time) return std::nullopt;
  return Line{*sequence, *time, line.substr(second + 1, third - second - 1), line.substr(third + 1)};
}

std::string system_text() {
  return std::error_code(errno, std::generic_category()).message();
}

}  // namespace

Audit::Verdict Audit::verify_text(std::string_view text) {
  Verdict verdict{.last_hash = std::string(first_hash)};
  while (!text.empty()) {
    const auto end = text.find('\n');
    const auto bad = [&](std::string problem) {
      verdict.bad_line = verdict.lines + 1;
      verdict.problem = std::move(problem);
      return verdict;
    };
    if (end == std::string_view::npos) return bad("the last line is cut off");
    const auto line = parse(text.substr(0, end));
    if (!line) return bad("it is no audit line");
    if (line->sequence != verdict.lines + 1) return bad(fmt::format("its number is {}", line->sequence));
    if (line->hash != hash_of(verdict.last_hash, line->sequence, line->unix_ns, line->text))
      return bad("its hash does not fit: it or a line before it was changed");
    verdict.last_hash = line->hash;
    ++verdict.lines;
    text.remove_prefix(end + 1);
  }
  return verdict;
}

Result<Audit::Verdict> Audit::verify(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  std::error_code ignored;
  if (!in || std::filesystem::is_directory(file, ignored))
    return Error{fmt::format("cannot read the audit file {}", file.string()), "check the path and its permissions"};
  return verify_text(std::string(std::istreambuf_iterator<char>(in), {}));
}

Result<Audit> Audit::open(const std::filesystem::path& file) {
  Audit audit;
  std::error_code error;
  std::string begun_anew;
  Verdict verdict{.last_hash = std::string(first_hash)};
  if (std::filesystem::exists(file, error)) {
    auto verified = verify(file);
    if (!verified) return verified.error();
    if (verified->bad_line == 0) {
      verdict = std::move(*verified);
    } else {
      auto aside = set_aside(file);
      if (!aside) return aside.error();
      begun_anew = fmt::format("the audit file did not verify in line {} ({}) and is set aside as {}",
                               verified->bad_line, verified->problem, *aside);
      audit.warnings_.push_back(begun_anew);
    }
  }
  audit.file_ = Fd(::open(file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  if (!audit.file_)
    return Error{fmt::format("cannot write the audit file {}: {}", file.string(), system_text()),
                 "set state.folder to a folder that can be written"};
  audit.sequence_ = verdict.lines;
  audit.hash_ = verdict.last_hash;
  if (begun_anew.empty()) return audit;
  // The warning holds no quotes or line ends but those of a file's name, which is ours.
  auto status = audit.append(unix_now_ns(), fmt::format(R"({{"event":"inferscope.audit","text":"{}"}})", begun_anew));
  if (!status) return status.error();
  return audit;
}

Status Audit::append(std::int64_t unix_ns, std::string_view json) {
  const std::string hash = hash_of(hash_, sequence_ + 1, unix_ns, json);
  const std::string line = fmt::format("{} {} {} {}\n", sequence_ + 1, unix_ns, hash, json);
  struct stat before {};
  fstat(file_.get(), &before);
  std::string_view rest = line;
  while (!rest.empty()) {
    const ssize_t count = write(file_.get(), rest.data(), rest.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) {
      const std::string problem = system_text();
      // Half a line would break the chain for good.
      (void)!ftruncate(file_.get(), before.st_size);
      return Error{"the audit cannot be written: " + problem, "make room in the state folder"};
    }
    rest.remove_prefix(static_cast<std::size_t>(count));
  }
  if (fdatasync(file_.get()) != 0) return Error{"the audit cannot be made durable: " + system_text()};
  ++sequence_;
  hash_ = hash;
  return success();
}

}  // namespace inferscope::store
