// SPDX-License-Identifier: Apache-2.0
// SGLang since it writes MessagePack: its tokenizer manager (which serves HTTP), scheduler and detokenizer. Messages
// are msgspec structures as arrays that begin with the structure's name. Of a batch, each value is a column with an
// element for each request; which column is which is told by what it holds.
//   manager → scheduler: ["TokenizedGenerateReqInput", rid, …], ["BatchTokenizedGenerateReqInput", rids, …, [request,
//   …]],
//                        ["AbortReq", rid, …]
//   → manager: ["BatchStrOutput" or "BatchTokenIDOutput", rids, …, finished_reasons, …, prompt_tokens,
//   [reasoning_tokens,]
//               completion_tokens, cached_tokens, …]
// No times are told but by when a message moves.
#include <array>
#include <vector>

#include "interpret/engines.h"

namespace inferscope::interpret {
namespace {

using Kind = Packed::Kind;
using Event = EngineUpdate::Event;

bool is_one_of(std::string_view name, std::initializer_list<std::string_view> names) {
  for (const std::string_view one : names)
    if (name == one) return true;
  return false;
}

void note(EngineUpdate& update, const Packed* id, Event event) {
  if (!is_request_id(id)) return;
  EngineUpdate::Request& request = update.requests.emplace_back();
  request.id = id->content;
  request.occurrences.push_back({event, update.time});
}

/// One id, or a list of them.
bool read_ids(const Packed* ids, const PackedReader& reader, EngineUpdate& update, Event event) {
  if (ids == nullptr) return false;
  if (ids->is(Kind::array)) {
    for (const Packed* id = reader.first(*ids); id != nullptr; id = reader.next(*id)) note(update, id, event);
  } else {
    note(update, ids, event);
  }
  return !update.requests.empty();
}

bool is_column_of(const Packed& value, std::uint32_t rows, const PackedReader& reader, bool (*fits)(const Packed&)) {
  if (!value.is(Kind::array) || value.size != rows) return false;
  for (const Packed* one = reader.first(value); one != nullptr; one = reader.next(*one))
    if (!fits(*one)) return false;
  return true;
}

/// Of each request nothing, or {"type": "stop", …}.
void read_finished(const Packed& column, const PackedReader& reader, EngineUpdate& update) {
  auto request = update.requests.begin();
  for (const Packed* reason = reader.first(column); reason != nullptr && request != update.requests.end();
       reason = reader.next(*reason), ++request)
    if (reason->is(Kind::map)) request->finished = true;
}

void read_counts(const std::vector<const Packed*>& columns, const PackedReader& reader, EngineUpdate& update) {
  std::array<const Packed*, 3> rows{};  // prompt, generated, cached; reasoning may stand behind the first
  const std::size_t generated = columns.size() - 2;
  rows = {reader.first(*columns[0]), reader.first(*columns[generated]), reader.first(*columns[generated + 1])};
  for (EngineUpdate::Request& request : update.requests) {
    for (const Packed* row : rows)
      if (row == nullptr) return;
    request.prompt_tokens = count_of(*rows[0]);
    request.tokens_so_far = count_of(*rows[1]);
    request.cached_tokens = count_of(*rows[2]);
    for (const Packed*& row : rows) row = reader.next(*row);
  }
}

bool read_batch(const Packed& rids, const PackedReader& reader, EngineUpdate& update) {
  if (!rids.is(Kind::array) || rids.size == 0) return false;
  for (const Packed* id = reader.first(rids); id != nullptr; id = reader.next(*id)) {
    if (!is_request_id(id)) return false;
    update.requests.push_back({.id = id->content, .in_step = true});
  }
  constexpr std::size_t least_counts = 3;
  constexpr std::size_t most_counts = 4;
  const auto is_reason = [](const Packed& value) { return value.is(Kind::nil) || value.is(Kind::map); };
  const auto is_count = [](const Packed& value) { return value.is(Kind::integer); };
  bool finished_seen = false;
  std::vector<const Packed*> counts;
  // The first row of columns of counts that is long enough; positions in texts are counts, too, but stand alone.
  for (const Packed* value = reader.next(rids); value != nullptr; value = reader.next(*value)) {
    if (counts.size() < most_counts && is_column_of(*value, rids.size, reader, is_count)) {
      counts.push_back(value);
    } else if (counts.size() >= least_counts) {
      break;
    } else {
      counts.clear();
      // The column before it is of names, which may all be missing.
      if (!finished_seen && is_column_of(*value, rids.size, reader, is_reason)) {
        read_finished(*value, reader, update);
        for (const Packed* one = reader.first(*value); one != nullptr; one = reader.next(*one))
          if (one->is(Kind::map)) finished_seen = true;
      }
    }
  }
  if (counts.size() >= least_counts) read_counts(counts, reader, update);
  update.step = EngineUpdate::Step{.size = rids.size};
  return true;
}

bool read(const PeerMessage& /*message*/, const Packed& root, const PackedReader& reader, EngineUpdate& update) {
  const Packed* name = reader.first(root);
  const Packed* ids = name != nullptr && name->is(Kind::text) ? reader.next(*name) : nullptr;
  if (ids == nullptr) return false;
  if (is_one_of(name->content, {"TokenizedGenerateReqInput", "BatchTokenizedGenerateReqInput",
                                "TokenizedEmbeddingReqInput", "BatchTokenizedEmbeddingReqInput"}))
    return read_ids(ids, reader, update, Event::added);
  if (name->content == "AbortReq") return read_ids(ids, reader, update, Event::aborted);
  if (is_one_of(name->content, {"BatchStrOutput", "BatchTokenIDOutput", "BatchEmbeddingOutput"}))
    return read_batch(*ids, reader, update);
  return false;
}

}  // namespace

const Engine sglang_engine{"sglang", read};

}  // namespace inferscope::interpret
