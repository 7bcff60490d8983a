// stage: assemble
// SPDX-License-Identifier: Apache-2.0
// WebSocket frames and messages: any bytes, both sides, with and without compression; the same whole and in pieces.
// The first byte picks the side and the extension, the second the division, the third where a hole is.
#include <optional>
#include <string>

#include "assemble/websocket/messages.h"
#include "assemble/websocket/reader.h"
#include "tests/fuzz/fuzz_events.h"

using namespace inferscope;
using namespace inferscope::assemble;

namespace {

constexpr std::size_t longest_message = 256;

/// Writes down what it is told, until framing is lost: from there on it matters where transfers begin.
class Told final : public websocket::MessageSink {
 public:
  void payload(Side /*side*/, std::uint64_t bytes) override { payload_ += bytes; }
  void text(Side /*side*/, std::string_view data) override {
    test::require(data.size() <= longest_message);
    write("text " + std::string(data));
  }
  void missing(Side /*side*/, std::uint64_t bytes, Gap::Reason reason) override {
    if (reason == Gap::Reason::malformed) lost_ = true;
    missing_ += bytes;
  }
  void unreadable(Side /*side*/, std::uint64_t bytes, Gap::Reason reason) override {
    write("unreadable " + std::to_string(bytes) + ' ' + std::to_string(static_cast<int>(reason)));
  }
  void closed(Side /*side*/) override { write("closed"); }
  [[nodiscard]] std::uint64_t bytes() const { return payload_ + missing_; }

  std::string log{};

 private:
  void write(const std::string& line) {
    if (!lost_) log += line + '\n';
  }

  bool lost_ = false;
  std::uint64_t payload_ = 0;
  std::uint64_t missing_ = 0;
};

struct Play {
  Side side = Side::response;
  websocket::Extensions extensions{};
  std::string_view bytes{};
  std::optional<std::size_t> hole{};  ///< in place of this piece

  void operator()(std::size_t step, Told& told) const {
    Limits limits;
    limits.message = longest_message;
    limits.decoded_floor = limits.decoded;  // where a bound is reached may depend on the division
    Account account;
    {
      websocket::Messages messages(extensions, limits, told);
      websocket::FrameReader reader(side, true, extensions, account, messages);
      for (std::size_t i = 0; i < bytes.size(); i += step) {
        const std::string_view piece = bytes.substr(i, step);
        account.in += piece.size();
        if (hole == i / step) {
          reader.hole(piece.size(), Gap::Reason::lost, i);
        } else {
          reader.bytes(piece, true, i);
        }
        test::require(account.stats().balanced());
        test::require(reader.position() == i + piece.size());
      }
      test::require(told.bytes() <= bytes.size());
    }
    test::require(account.held == 0 && account.stats().balanced());
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  test::FuzzInput input(data, size);
  const std::uint8_t kind = input.byte();
  const std::size_t step = 1 + input.byte() % 32;
  const std::uint8_t hole_at = input.byte();
  Play play;
  play.side = kind % 2 == 0 ? Side::response : Side::request;
  play.extensions.deflate = kind / 2 % 2 == 1;
  play.extensions.no_context_takeover[0] = play.extensions.no_context_takeover[1] = kind / 4 % 2 == 1;
  play.bytes = input.rest();
  Told whole;
  Told pieces;
  Told holed;
  play(play.bytes.size() + 1, whole);
  play(step, pieces);
  test::require(whole.log == pieces.log);
  play.hole = hole_at;
  play(step, holed);
  // What the extensions field says is input, too.
  websocket::Extensions said;
  websocket::add_extensions(play.bytes, said);
  return 0;
}
