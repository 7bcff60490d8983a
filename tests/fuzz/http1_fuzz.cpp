// stage: assemble
// SPDX-License-Identifier: Apache-2.0
// The HTTP/1 reader: any bytes, both sides; the same messages whole and in pieces.
#include <string>

#include "assemble/http1/reader.h"
#include "tests/fuzz/fuzz_events.h"

using namespace inferscope;
using namespace inferscope::assemble;

namespace {

/// Writes down what it is told, until framing is lost: from there on it matters where transfers begin.
class Told final : public http1::ReaderSink {
 public:
  void on_part(http1::Side /*side*/, http1::Part part, std::string_view range) override {
    parts_ += range.size();
    if (lost_) return;
    raw.append(std::to_string(static_cast<int>(part)) == last_part_ ? ""
                                                                    : "|" + std::to_string(static_cast<int>(part)));
    last_part_ = std::to_string(static_cast<int>(part));
    raw.append(range);
  }
  void on_begin(http1::Side /*side*/) override { write("begin"); }
  void on_request_line(const http1::RequestLine& line) override {
    write(std::string(line.method) + ' ' + std::string(line.target) + ' ' + std::string(line.version));
  }
  void on_status_line(const http1::StatusLine& line) override { write(std::to_string(line.status)); }
  void on_field(http1::Side /*side*/, const http1::Field& field) override {
    write(std::string(field.name) + ": " + std::string(field.value));
  }
  void on_folded(http1::Side /*side*/, std::string_view value) override { write("  " + std::string(value)); }
  http1::BodyKind on_head(const http1::Head& head) override {
    write("head " + std::to_string(head.bytes) + (head.truncated ? " truncated" : ""));
    if (head.status == 101) return http1::BodyKind::tunnel;
    if (head.head_method || head.status == 204 || (head.status > 0 && head.status < 200)) return http1::BodyKind::none;
    if (head.transfer_encoding) return head.chunked ? http1::BodyKind::chunked : http1::BodyKind::until_close;
    if (head.content_length) return http1::BodyKind::length;
    return head.status > 0 ? http1::BodyKind::until_close : http1::BodyKind::none;
  }
  void on_body(http1::Side /*side*/, std::string_view bytes) override {
    if (!lost_) text.append(bytes);
  }
  void on_body_hole(http1::Side /*side*/, std::uint64_t bytes, Gap::Reason /*reason*/) override {
    write("hole " + std::to_string(bytes));
  }
  void on_end(http1::Side /*side*/) override { write("end"); }
  void on_lost(http1::Side /*side*/, Gap::Reason reason, std::uint64_t bytes, bool in_body) override {
    write("lost " + std::to_string(static_cast<int>(reason)) + ' ' + std::to_string(bytes) + (in_body ? " body" : ""));
    lost_ = true;
  }
  [[nodiscard]] std::size_t parts() const { return parts_; }

  std::string text{};
  std::string raw{};

 private:
  void write(const std::string& line) {
    if (!lost_) text += '\n' + line + '\n';
  }

  bool lost_ = false;
  std::size_t parts_ = 0;
  std::string last_part_{};
};

void read(http1::Side side, std::string_view bytes, std::size_t step, const Limits& limits, Told& told) {
  Account account;
  {
    http1::Reader reader(side, true, true, limits, account, told);
    for (std::size_t i = 0; i < bytes.size(); i += step) {
      const std::string_view piece = bytes.substr(i, step);
      account.in += piece.size();
      reader.bytes(piece, true, i);
      test::require(account.stats().balanced());
      test::require(reader.position() == i + piece.size());
    }
    reader.stream_ended();
  }
  test::require(account.held == 0 && account.stats().balanced());
  test::require(told.parts() == bytes.size());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  test::FuzzInput input(data, size);
  const http1::Side side = input.byte() % 2 == 0 ? http1::Side::request : http1::Side::response;
  const std::size_t step = 1 + input.byte() % 32;
  const std::string_view bytes = input.rest();
  Limits limits;
  limits.line = 128;
  limits.head = 256;
  limits.head_total = 1024;
  limits.headers = 8;
  Told whole;
  Told pieces;
  read(side, bytes, bytes.size() + 1, limits, whole);
  read(side, bytes, step, limits, pieces);
  test::require(whole.text == pieces.text);
  return 0;
}
