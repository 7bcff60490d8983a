// SPDX-License-Identifier: Apache-2.0
#include "assemble/zmtp/session.h"

namespace inferscope::assemble::zmtp {
namespace {

class FrameMask final : public FrameSink {
 public:
  explicit FrameMask(MaskOutput& output) : output_(output) {}

  void on_structure(std::string_view range) override { output_.keep(range); }
  void on_frame(const Frame& /*frame*/) override {}
  void on_body(std::string_view /*bytes*/) override {}
  void on_body_hole(std::uint64_t /*bytes*/) override {}
  void on_frame_end(const Frame& /*frame*/) override {}
  void on_lost() override {}

 private:
  MaskOutput& output_;
};

}  // namespace

std::unique_ptr<ProtocolParser> make_mask(ConnectionContext& context, MaskOutput& output) {
  return std::make_unique<Session>(context, std::make_unique<FrameMask>(output), std::make_unique<FrameMask>(output));
}

}  // namespace inferscope::assemble::zmtp
