// SPDX-License-Identifier: Apache-2.0
// SGLang since it writes MessagePack: its tokenizer manager (which serves HTTP), scheduler and detokenizer. Messages
// are msgspec structures as arrays that begin with the structure's name. Of a batch, each value is a column with an
// element for each request; which column is which is told by what it holds.
//   manager → scheduler: ["TokenizedGenerateReqInput", rid, …],
//                        ["BatchTokenizedGenerateReqInput", rids or nil, ipcs or nil, [["Tokenized…", rid, …], …]],
//                        ["AbortReq", rid, …]
//   scheduler → detokenizer (→ manager, where there is none):
//     ["BatchTokenIDOutput", rids, …, finished_reasons, …, prompt, [reasoning,] completion, cached, …]
//   detokenizer → manager:
//     ["BatchStrOutput", rids, …, finished_reasons, …, prompt, completion, [reasoning,] cached, …]
// The last ones are counts of tokens; those of reasoning came later, and not to the same place.
// No times are told but by when a message moves.
#include <vector>

#include "interpret/engines.h"

namespace inferscope::interpret {
namespace {

using Kind = Packed::Kind;
using Event = EngineUpdate::Event;

bool is_request(std::string_view name) {
  return name == "TokenizedGenerateReqInput" || name == "BatchTokenizedGenerateReqInput" ||
         name == "TokenizedEmbeddingReqInput" || name == "BatchTokenizedEmbeddingReqInput";
}

bool is_batch(std::string_view name) {
  return name == "BatchStrOutput" || name == "BatchTokenIDOutput" || name == "BatchEmbeddingOutput";
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

/// The requests of a batch, which tell their ids where the batch does not.
bool read_members(const Packed& behind, const PackedReader& reader, EngineUpdate& update) {
  const Packed* batch = reader.next(behind);
  for (; batch != nullptr; batch = reader.next(*batch)) {
    const Packed* request = batch->is(Kind::array) ? reader.first(*batch) : nullptr;
    if (request != nullptr && request->is(Kind::array)) break;
  }
  if (batch == nullptr) return false;
  for (const Packed* request = reader.first(*batch); request != nullptr; request = reader.next(*request))
    note(update, reader.element(*request, 1), Event::added);
  return !update.requests.empty();
}

bool is_column_of(const Packed& value, std::uint32_t rows, const PackedReader& reader, bool (*fits)(const Packed&)) {
  if (!value.is(Kind::array) || !value.whole || value.size != rows) return false;
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

struct Counts {
  const Packed* prompt = nullptr;
  const Packed* generated = nullptr;
  const Packed* cached = nullptr;
};

void read_counts(const Counts& columns, const PackedReader& reader, EngineUpdate& update) {
  const auto read_column = [&](const Packed* column, std::optional<std::uint64_t> EngineUpdate::Request::*count) {
    if (column == nullptr || column->size != update.requests.size()) return;
    const Packed* one = reader.first(*column);
    for (auto request = update.requests.begin(); request != update.requests.end() && one != nullptr;
         ++request, one = reader.next(*one))
      (*request).*count = count_of(*one);
  };
  read_column(columns.prompt, &EngineUpdate::Request::prompt_tokens);
  read_column(columns.generated, &EngineUpdate::Request::tokens_so_far);
  read_column(columns.cached, &EngineUpdate::Request::cached_tokens);
}

bool read_rids(const Packed* rids, const PackedReader& reader, EngineUpdate& update) {
  if (rids == nullptr || !rids->is(Kind::array) || rids->size == 0) return false;
  for (const Packed* id = reader.first(*rids); id != nullptr; id = reader.next(*id)) {
    if (!is_request_id(id)) return false;
    update.requests.push_back({.id = id->content, .in_step = true});
  }
  update.step = EngineUpdate::Step{.size = rids->size};
  return true;
}

/// `root` is the batch whose ids `rids` are, `name` what it is called.
void read_columns(std::string_view name, const Packed& root, const Packed& rids, const PackedReader& reader,
                  EngineUpdate& update) {
  constexpr std::size_t least_counts = 3;
  constexpr std::size_t most_counts = 4;
  const auto is_reason = [](const Packed& value) { return value.is(Kind::nil) || value.is(Kind::map); };
  const auto is_count = [](const Packed& value) { return value.is(Kind::integer); };
  bool finished_seen = false;
  bool all_counts = root.whole;
  std::vector<const Packed*> counts;
  // The first row of columns of counts that is long enough; positions in texts are counts, too, but stand alone.
  for (const Packed* value = reader.next(rids); value != nullptr; value = reader.next(*value)) {
    if (counts.size() < most_counts && is_column_of(*value, rids.size, reader, is_count)) {
      counts.push_back(value);
      continue;
    }
    if (counts.size() >= least_counts) {
      // One that is cut off may have been another of them.
      all_counts = all_counts || !value->is(Kind::array) || value->whole;
      break;
    }
    counts.clear();
    // The column before it is of names, which may all be missing.
    if (finished_seen || !is_column_of(*value, rids.size, reader, is_reason)) continue;
    read_finished(*value, reader, update);
    for (const Packed* one = reader.first(*value); one != nullptr; one = reader.next(*one))
      finished_seen = finished_seen || one->is(Kind::map);
  }
  if (counts.size() == most_counts)
    read_counts({counts[0], counts[name == "BatchStrOutput" ? 1 : 2], counts[3]}, reader, update);
  else if (counts.size() == least_counts && all_counts)
    read_counts({counts[0], counts[1], counts[2]}, reader, update);
}

bool read_array(std::string_view name, const Packed& root, const Packed& ids, const PackedReader& reader,
                EngineUpdate& update) {
  if (is_request(name) && ids.is(Kind::nil)) return read_members(ids, reader, update);
  if (is_request(name)) return read_ids(&ids, reader, update, Event::added);
  if (name == "AbortReq") return read_ids(&ids, reader, update, Event::aborted);
  if (!is_batch(name) || !read_rids(&ids, reader, update)) return false;
  read_columns(name, root, ids, reader, update);
  return true;
}

bool read_map(std::string_view name, const Packed& root, const PackedReader& reader, EngineUpdate& update) {
  const Packed* rids = reader.member(root, "rids");
  const bool one = rids == nullptr || rids->is(Kind::nil);
  if (is_request(name)) return read_ids(one ? reader.member(root, "rid") : rids, reader, update, Event::added);
  if (name == "AbortReq") return read_ids(reader.member(root, "rid"), reader, update, Event::aborted);
  if (!is_batch(name) || !read_rids(rids, reader, update)) return false;
  if (const Packed* finished = reader.member(root, "finished_reasons")) read_finished(*finished, reader, update);
  read_counts({reader.member(root, "prompt_tokens"), reader.member(root, "completion_tokens"),
               reader.member(root, "cached_tokens")},
              reader, update);
  return true;
}

/// As the names of structures that its processes send to each other end.
bool is_structure(std::string_view name) {
  return name.ends_with("Req") || name.ends_with("Input") || name.ends_with("Output");
}

Reading read(const PeerMessage& /*message*/, const Packed& root, const PackedReader& reader, EngineUpdate& update) {
  std::string_view name;
  bool told = false;
  if (root.is(Kind::map)) {
    name = reader.text_member(root, "type");
    told = read_map(name, root, reader, update);
  } else if (const Packed* first = reader.first(root); first != nullptr && first->is(Kind::text)) {
    name = first->content;
    const Packed* ids = reader.next(*first);
    told = ids != nullptr && read_array(name, root, *ids, reader, update);
  }
  return told ? Reading::work : is_structure(name) ? Reading::control : Reading::foreign;
}

}  // namespace

const Engine sglang_engine{"sglang", read};

}  // namespace inferscope::interpret
