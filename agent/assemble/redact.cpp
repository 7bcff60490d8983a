// SPDX-License-Identifier: Apache-2.0
#include "assemble/redact.h"

#include <cstring>
#include <functional>
#include <string_view>
#include <variant>

#include "assemble/demultiplexer.h"

namespace inferscope::assemble {
namespace {

/// Where each byte of the content being read goes in the copy.
class Copy final : public MaskOutput {
 public:
  void begin(const Transfer& transfer, std::string& scratch) {
    head_ = transfer.head;
    tail_ = transfer.tail;
    scratch.assign(head_.size() + tail_.size(), mask);
    scratch_ = &scratch;
  }
  void keep(std::string_view part) override {
    char* to = place_of(part.data(), part.size());
    if (to) std::memcpy(to, part.data(), part.size());
  }
  void put(const char* byte, char replacement) override {
    char* to = place_of(byte, 1);
    if (to) *to = replacement;
  }

 private:
  /// Null for what is not in this transfer: an undecided beginning, which was kept when it came.
  [[nodiscard]] char* place_of(const char* from, std::size_t size) const {
    if (size == 0) return nullptr;
    if (contains(head_, from, size)) return scratch_->data() + (from - head_.data());
    if (contains(tail_, from, size)) return scratch_->data() + head_.size() + (from - tail_.data());
    return nullptr;
  }
  static bool contains(std::string_view content, const char* from, std::size_t size) {
    const std::less_equal<const char*> not_after;
    return not_after(content.data(), from) && not_after(from + size, content.data() + content.size());
  }

  std::string_view head_{};
  std::string_view tail_{};
  std::string* scratch_ = nullptr;
};

}  // namespace

class Redactor::Implementation final : public ParserFactory {
 public:
  explicit Implementation(const Limits& limits) : limits_(limits), demultiplexer_(limits_, nullptr, *this) {}

  void on(Event& event, std::string& scratch) {
    auto* transfer = std::get_if<Transfer>(&event.body);
    if (transfer) copy_.begin(*transfer, scratch);
    demultiplexer_.on(event);
    if (!transfer) return;
    const std::string_view masked = scratch;
    const std::size_t head = transfer->head.size();
    transfer->head = masked.substr(0, head);
    transfer->tail = masked.substr(head);
  }
  void tick(Time now) { demultiplexer_.tick(now); }
  [[nodiscard]] StageStats stats() const { return demultiplexer_.account().stats(); }

  std::unique_ptr<ProtocolParser> make(const Protocol& protocol, ConnectionContext& context) override {
    return protocol.mask(context, copy_);
  }
  void undecided(std::string_view piece) override { copy_.keep(piece); }

 private:
  const Limits limits_;
  Copy copy_{};
  Demultiplexer demultiplexer_;
};

Redactor::Redactor(Limits limits) : implementation_(std::make_unique<Implementation>(limits)) {}
Redactor::~Redactor() = default;

void Redactor::on(Event& event, std::string& scratch) {
  implementation_->on(event, scratch);
}
void Redactor::tick(Time now) {
  implementation_->tick(now);
}
StageStats Redactor::stats() const {
  return implementation_->stats();
}

}  // namespace inferscope::assemble
