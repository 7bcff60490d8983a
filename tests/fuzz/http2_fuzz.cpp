// stage: assemble
// SPDX-License-Identifier: Apache-2.0
// The HTTP/2 reader and its header blocks: any bytes, both sides; the same frames whole and in pieces.
#include <string>

#include "assemble/http2/hpack.h"
#include "assemble/http2/reader.h"
#include "tests/fuzz/fuzz_events.h"

using namespace inferscope;
using namespace inferscope::assemble;

namespace {

/// Writes down what it is told, until framing is lost: from there on it matters where transfers begin.
class Told final : public http2::FrameSink {
 public:
  void on_part(Side /*side*/, http2::Part /*part*/, std::string_view range) override { parts += range.size(); }
  void on_frame(Side /*side*/, const http2::FrameHeader& header) override {
    write("frame " + std::to_string(header.type) + ' ' + std::to_string(header.flags) + ' ' +
          std::to_string(header.length) + " of " + std::to_string(header.stream));
  }
  void on_block(Side /*side*/, http2::StreamId stream, std::string_view block, bool promised) override {
    write((promised ? "promised " : "block ") + std::to_string(stream) + ' ' + std::string(block));
    const bool good = fields_.decode(block, [this](const http2::HpackField& field) {
      write(std::string(field.name) + ": " + std::string(field.value) + (field.known ? "" : " unknown"));
      if (field.wire_value) mask(*field.wire_value, field.value.size());
    });
    if (!good) write("no block");
  }
  void on_data(Side /*side*/, http2::StreamId /*stream*/, std::string_view bytes) override {
    if (!lost_) text.append(bytes);
  }
  void on_data_hole(Side /*side*/, http2::StreamId /*stream*/, std::uint64_t /*bytes*/, Gap::Reason /*why*/) override {}
  void on_end(Side /*side*/, http2::StreamId stream) override { write("end " + std::to_string(stream)); }
  void on_reset(Side /*side*/, http2::StreamId stream) override { write("reset " + std::to_string(stream)); }
  void on_lost(Side /*side*/, Gap::Reason reason, std::uint64_t /*bytes*/) override {
    write("lost " + std::to_string(static_cast<int>(reason)));
    lost_ = true;
  }

  std::string text{};
  std::size_t parts = 0;

 private:
  void write(const std::string& line) {
    if (!lost_) text += '\n' + line + '\n';
  }
  static void mask(const http2::WireString& string, std::size_t decoded) {
    std::size_t next = 0;
    mask_string(string, decoded, [&](std::size_t at, char) { test::require(at == next++); });
    test::require(next == string.bytes.size());
  }

  http2::HpackDecoder fields_{};
  bool lost_ = false;
};

void read(Side side, std::string_view bytes, std::size_t step, const Limits& limits, Told& told) {
  Account account;
  http2::FrameReader reader(side, true, limits, account, told);
  for (std::size_t i = 0; i < bytes.size(); i += step) {
    const std::string_view piece = bytes.substr(i, step);
    account.in += piece.size();
    reader.bytes(piece, true, i);
    test::require(account.stats().balanced());
    test::require(reader.position() == i + piece.size());
  }
  test::require(account.out == told.parts);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  test::FuzzInput input(data, size);
  const Side side = input.byte() % 2 == 0 ? Side::request : Side::response;
  const std::size_t step = 1 + input.byte() % 32;
  const std::string_view bytes = input.rest();
  Limits limits;
  limits.head_total = 1024;
  Told whole;
  Told pieces;
  read(side, bytes, bytes.size() + 1, limits, whole);
  read(side, bytes, step, limits, pieces);
  test::require(whole.text == pieces.text);
  return 0;
}
