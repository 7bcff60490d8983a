// SPDX-License-Identifier: Apache-2.0
#include "assemble/websocket/mask.h"

namespace inferscope::assemble::websocket {
namespace {

/// Takes what is said of unmasked bytes to those on the wire.
class OnTheWire final : public MaskOutput {
 public:
  OnTheWire(const Frame& frame, std::string_view wire, std::uint64_t offset, std::string_view unmasked,
            MaskOutput& output)
      : frame_(frame), wire_(wire), offset_(offset), unmasked_(unmasked), output_(output) {}

  void keep(std::string_view part) override { output_.keep(wire_.substr(place_of(part.data()), part.size())); }
  void put(const char* byte, char replacement) override {
    const std::size_t place = place_of(byte);
    output_.put(wire_.data() + place, static_cast<char>(replacement ^ frame_.key_at(offset_ + place)));
  }

 private:
  [[nodiscard]] std::size_t place_of(const char* byte) const {
    return static_cast<std::size_t>(byte - unmasked_.data());
  }

  const Frame& frame_;
  std::string_view wire_;
  std::uint64_t offset_;
  std::string_view unmasked_;
  MaskOutput& output_;
};

}  // namespace

void FrameMask::on_frame(Side side, const Frame& frame) {
  if (frame.control() || frame.opcode == Opcode::continuation) return;
  of(side).readable = frame.opcode == Opcode::text && !frame.compressed;
  of(side).json.reset();
}

void FrameMask::on_payload(Side side, const Frame& frame, std::string_view wire, std::uint64_t offset) {
  Outgoing& message = of(side);
  const bool readable = message.readable && !frame.control();
  if (!frame.masked) {
    if (readable) message.json.feed(wire, output_);
    return;
  }
  unmasked_.assign(wire);
  for (std::size_t i = 0; i < wire.size(); ++i)
    unmasked_[i] = static_cast<char>(unmasked_[i] ^ frame.key_at(offset + i));
  OnTheWire output(frame, wire, offset, unmasked_, output_);
  for (const char& c : unmasked_) output.put(&c, MaskOutput::mask);
  if (readable) message.json.feed(unmasked_, output);
}

void FrameMask::on_payload_hole(Side side, const Frame& frame, std::uint64_t /*bytes*/, Gap::Reason /*reason*/) {
  if (!frame.control()) of(side).json.lose();
}

}  // namespace inferscope::assemble::websocket
