// stage: source
// SPDX-License-Identifier: Apache-2.0
// Any bytes as a recording, and any bytes as the block of a recording that is otherwise whole (a checksum keeps the
// fuzzer out of it else): the reader comes to an end, gives possible events only, and gives the same ones again.
#include <zlib.h>
#include <zstd.h>

#include <cstring>
#include <string>

#include "source/recording.h"
#include "tests/fuzz/fuzz_events.h"
#include "tests/support/event_text.h"

using namespace inferscope;

namespace {

std::string number(std::uint32_t value) {
  return {reinterpret_cast<const char*>(&value), sizeof(value)};
}

std::string frame(char kind, const std::string& plain) {
  std::string packed(ZSTD_compressBound(plain.size()), '\0');
  packed.resize(ZSTD_compress(packed.data(), packed.size(), plain.data(), plain.size(), 1));
  const auto crc = crc32_z(0, reinterpret_cast<const unsigned char*>(packed.data()), packed.size());
  return kind + number(static_cast<std::uint32_t>(packed.size())) + number(static_cast<std::uint32_t>(plain.size())) +
         number(static_cast<std::uint32_t>(crc)) + packed;
}

void check(const Event& event) {
  if (const auto* transfer = std::get_if<Transfer>(&event.body)) {
    test::require(transfer->head.size() <= transfer->length);
    test::require(transfer->tail.size() <= transfer->length - transfer->head.size());
    test::require(transfer->direction <= Direction::sent && transfer->cut <= Transfer::Cut::fault);
  } else if (const auto* opened = std::get_if<ConnectionOpened>(&event.body)) {
    test::require(opened->connection.role <= Role::server);
    test::require(opened->connection.local.family <= Family::unix_stream);
    test::require(opened->connection.remote.family <= Family::unix_stream);
  } else if (const auto* half = std::get_if<ConnectionHalfClosed>(&event.body)) {
    test::require(half->direction <= Direction::sent);
  } else if (const auto* closed = std::get_if<ConnectionClosed>(&event.body)) {
    test::require(closed->reason <= ConnectionClosed::Reason::forgotten);
  }
}

std::string replay(const std::string& bytes) {
  auto reader = source::RecordingReader::from_bytes(bytes);
  if (!reader) return reader.error().text();
  std::string all;
  Status status = success();
  while (!(*reader)->finished()) {
    test::require(status.ok());  // an error is the end
    status = (*reader)->poll(Duration::zero(), [&all](const Event& event) {
      check(event);
      (all += test::text_of(event)) += '\n';
    });
  }
  return all + (status ? "whole" : status.error().text());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string input(reinterpret_cast<const char*>(data), size);
  const std::string start = "IFSCREC\n" + number(source::recording_version);
  for (const std::string& bytes :
       {input, start + frame('H', "") + frame('B', input) + frame('E', ""), start + frame('H', input) + frame('E', "")})
    test::require(replay(bytes) == replay(bytes));
  return 0;
}
