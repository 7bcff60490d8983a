// stage: assemble
// SPDX-License-Identifier: Apache-2.0
// Any events: the account balances after each one, and every exchange that was opened is closed once, in order.
#include "assemble/assembler.h"
#include "tests/fuzz/fuzz_events.h"
#include "tests/support/exchange_log.h"

using namespace inferscope;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const test::Script script = test::fuzz_script({data, size});
  assemble::Limits limits;
  limits.line = 256;
  limits.head = 512;
  limits.head_total = 2048;
  limits.message = 256;
  limits.connections = 4;
  limits.decoded = 1 << 16;
  limits.open_exchanges = 4;
  assemble::Assembler assembler(limits);
  test::ExchangeLog log;
  const Emit<ExchangeUpdate> emit = [&log](const ExchangeUpdate& update) { log.on(update); };
  for (const Event& event : script.events()) {
    assembler.on(event, emit);
    test::require(assembler.stats().balanced());
    test::require(assembler.connections() <= limits.connections);
  }
  assembler.tick(script.now() + limits.idle_exchange * 2, emit);
  assembler.finish(script.now(), emit);
  test::require(assembler.stats().balanced());
  test::require(assembler.stats().held == 0);
  test::require(log.open() == 0);
  test::require(log.complaint().empty());
  return 0;
}
