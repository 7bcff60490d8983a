// stage: act
// SPDX-License-Identifier: Apache-2.0
// Any bytes as a journal, and any bytes as a record that is otherwise whole (a checksum keeps the fuzzer out of it
// else): what is read can be written and read again as the same, is possible, and an undo of it touches only what an
// action may write. The guardian takes the same as messages.
#include <fmt/format.h>
#include <zlib.h>

#include <string>

#include "act/cgroup.h"
#include "act/guard.h"
#include "act/journal_record.h"
#include "tests/fuzz/fuzz_events.h"

using namespace inferscope;
using namespace inferscope::act;

namespace {

const HostRoots nowhere{"/nonexistent/proc", "/nonexistent/cgroup"};

std::string with_checksum(std::string body) {
  const auto crc = crc32_z(0, reinterpret_cast<const unsigned char*>(body.data()), body.size());
  return body += fmt::format(R"(,"crc32":"{:08x}"}})", static_cast<std::uint32_t>(crc));
}

void check(const Lease& lease) {
  test::require(lease.effect.id.size() == 16);
  test::require(lease.effect.decision.target.pid >= 0);
  test::require(lease.effect.decision.action.kind <= Action::Kind::freeze);
  const std::string line = encode({Record::Kind::intent, lease});
  if (line.size() > record_limit) return;
  const auto again = decode(line);
  test::require(again.ok() && encode(*again) == line);
  const Undone undone = undo(lease, nowhere);
  test::require(undone.how == Undone::How::failed || undone.how == Undone::How::gone);
  if (lease.folder_inode != 0 && !is_knob(lease.effect.where, nowhere))
    test::require(undone.how == Undone::How::failed);
}

void check(const std::string& journal) {
  const JournalContent content = read_journal(journal);
  for (const Lease& lease : content.outstanding) check(lease);
  std::string rewritten;
  for (const Lease& lease : content.outstanding) rewritten += encode({Record::Kind::intent, lease}) + "\n";
  if (rewritten.size() <= record_limit)
    test::require(read_journal(rewritten).outstanding.size() == content.outstanding.size());
  Guard guard(nowhere);
  std::size_t begin = 0;
  for (std::size_t end; (end = journal.find('\n', begin)) != std::string::npos; begin = end + 1)
    guard.on(std::string_view(journal).substr(begin, end - begin));
  test::require(guard.held().size() == content.outstanding.size());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string input(reinterpret_cast<const char*>(data), size);
  check(input);
  // Each line is the body of a record.
  std::string journal;
  std::size_t begin = 0;
  while (begin <= input.size()) {
    const auto end = std::min(input.find('\n', begin), input.size());
    journal += with_checksum(input.substr(begin, end - begin)) + "\n";
    begin = end + 1;
  }
  check(journal);
  return 0;
}
