// SPDX-License-Identifier: Apache-2.0
#include "assemble/assembler.h"

#include "assemble/demultiplexer.h"

namespace inferscope::assemble {

class Assembler::Implementation final : public ParserFactory {
 public:
  Implementation(const Limits& limits, CaptureControl* control)
      : limits_(limits), demultiplexer_(limits_, control, *this) {}

  std::unique_ptr<ProtocolParser> make(const Protocol& protocol, ConnectionContext& context) override {
    return protocol.assemble(context, output_);
  }
  void undecided(std::string_view /*piece*/) override {}

  Demultiplexer& with(const Emit<ExchangeUpdate>& emit, const Emit<PeerMessage>* messages = nullptr) {
    output_.emit = &emit;
    output_.messages = messages;
    return demultiplexer_;
  }
  [[nodiscard]] const Demultiplexer& demultiplexer() const { return demultiplexer_; }

 private:
  const Limits limits_;
  ExchangeOutput output_{};
  Demultiplexer demultiplexer_;
};

Assembler::Assembler(Limits limits, CaptureControl* control)
    : implementation_(std::make_unique<Implementation>(limits, control)) {}
Assembler::~Assembler() = default;

void Assembler::on(const Event& event, const Emit<ExchangeUpdate>& emit, const Emit<PeerMessage>& messages) {
  implementation_->with(emit, &messages).on(event);
}
void Assembler::tick(Time now, const Emit<ExchangeUpdate>& emit) {
  implementation_->with(emit).tick(now);
}
void Assembler::finish(Time now, const Emit<ExchangeUpdate>& emit) {
  implementation_->with(emit).finish(now);
}

StageStats Assembler::stats() const {
  return implementation_->demultiplexer().account().stats();
}
std::size_t Assembler::connections() const {
  return implementation_->demultiplexer().connections();
}
std::uint64_t Assembler::connections_forgotten() const {
  return implementation_->demultiplexer().forgotten();
}

}  // namespace inferscope::assemble
