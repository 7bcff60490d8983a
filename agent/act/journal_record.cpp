// SPDX-License-Identifier: Apache-2.0
#include "act/journal_record.h"

#include <fmt/format.h>
#include <rapidjson/document.h>
#include <rapidjson/stringbuffer.h>
#include <rapidjson/writer.h>
#include <zlib.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>
#include <type_traits>

#include "model/names.h"

namespace inferscope::act {
namespace {

using Json = rapidjson::Writer<rapidjson::StringBuffer>;

constexpr NameTable<Record::Kind, 3> kind_names{
    {{Record::Kind::intent, "intent"}, {Record::Kind::done, "done"}, {Record::Kind::undone, "undone"}}};
constexpr std::size_t checksum_bytes = std::string_view(R"(,"crc32":"00000000"})").size();
constexpr std::size_t id_bytes = 16;
constexpr std::int64_t time_limit_ns = std::int64_t{1} << 62;  // sums of two do not overflow

std::string checksum_of(std::string_view bytes) {
  const auto crc = crc32_z(0, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
  return fmt::format(R"(,"crc32":"{:08x}"}})", static_cast<std::uint32_t>(crc));
}

/// Both directions of a record's members, so that they cannot come to differ.
class Writer {
 public:
  explicit Writer(Json& json) : json_(json) {}

  bool text(const char* name, const std::string& value) {
    json_.Key(name);
    return json_.String(value.data(), static_cast<rapidjson::SizeType>(value.size()));
  }
  template <class Number>
  bool number(const char* name, const Number& value) {
    json_.Key(name);
    if constexpr (std::is_signed_v<Number>) {
      return json_.Int64(value);
    } else {
      return json_.Uint64(value);
    }
  }
  /// As text: the JSON library's exact reading of such numbers is undefined for a zero of very many digits.
  bool real(const char* name, const double& value) { return text(name, fmt::format("{}", value)); }

 private:
  Json& json_;
};

class Reader {
 public:
  explicit Reader(const rapidjson::Value& json) : json_(json) {}

  bool text(const char* name, std::string& value) {
    const auto* member = find(name);
    if (!member || !member->IsString()) return false;
    value.assign(member->GetString(), member->GetStringLength());
    return true;
  }
  template <class Number>
  bool number(const char* name, Number& value) {
    const auto* member = find(name);
    if (!member || !member->IsNumber()) return false;
    if constexpr (std::is_signed_v<Number>) {
      if (!member->IsInt64() || !std::in_range<Number>(member->GetInt64())) return false;
      value = static_cast<Number>(member->GetInt64());
    } else {
      if (!member->IsUint64() || !std::in_range<Number>(member->GetUint64())) return false;
      value = static_cast<Number>(member->GetUint64());
    }
    return true;
  }
  bool real(const char* name, double& value) {
    std::string digits;
    if (!text(name, digits)) return false;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    return error == std::errc() && end == digits.data() + digits.size() && std::isfinite(value);
  }

 private:
  const rapidjson::Value* find(const char* name) const {
    const auto member = json_.FindMember(name);
    return member == json_.MemberEnd() ? nullptr : &member->value;
  }

  const rapidjson::Value& json_;
};

/// What an enumeration or a time is in the file.
struct Plain {
  std::string action{};
  std::string signal{};
  std::int64_t decided_ns = 0;
  std::int64_t lease_ns = 0;
  std::int64_t begin_ns = 0;
  std::int64_t until_ns = 0;
};

template <class Direction, class LeaseT>
bool members(Direction& json, LeaseT& lease, Plain& plain) {
  auto& effect = lease.effect;
  auto& decision = effect.decision;
  auto& action = decision.action;
  auto& target = decision.target;
  return json.text("where", effect.where) && json.text("earlier", effect.earlier) &&
         json.text("written", effect.written) && json.number("folder_inode", lease.folder_inode) &&
         json.number("pid", target.pid) && json.number("start_time_ns", target.start_time_ns) &&
         json.number("cgroup_id", target.cgroup_id) && json.text("cgroup", target.cgroup) &&
         json.text("name", target.name) && json.text("executable", target.executable) &&
         json.text("boot_id", lease.boot_id) && json.number("begin_ns", plain.begin_ns) &&
         json.number("until_ns", plain.until_ns) && json.number("unix_minus_kernel_ns", effect.unix_minus_kernel_ns) &&
         json.text("action", plain.action) && json.text("signal", plain.signal) && json.real("quota", action.quota) &&
         json.number("weight", action.weight) && json.number("lease_ns", plain.lease_ns) &&
         json.text("decision", decision.id) && json.number("decided_ns", plain.decided_ns) &&
         json.text("finding", decision.finding) && json.text("policy", decision.policy) &&
         json.number("step", decision.step) && json.text("reason", decision.reason);
}

bool is_id(std::string_view id) {
  return id.size() == id_bytes && id.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

bool read_intent(Reader& json, Lease& lease) {
  Plain plain;
  if (!members(json, lease, plain)) return false;
  Effect& effect = lease.effect;
  const auto kind = action_kind_of(plain.action);
  const auto signal = plain.signal.empty() ? std::optional<int>(0) : signal_of(plain.signal);
  if (!kind || !signal || effect.decision.target.pid < 0) return false;
  for (const std::int64_t ns : {plain.decided_ns, plain.lease_ns, plain.begin_ns, plain.until_ns})
    if (ns < 0 || ns > time_limit_ns) return false;
  effect.decision.action.kind = *kind;
  effect.decision.action.signal = *signal;
  effect.decision.action.lease = Duration{plain.lease_ns};
  effect.decision.verdict = Decision::Verdict::act;
  effect.decision.time = Time{Duration{plain.decided_ns}};
  effect.state = Effect::State::active;
  effect.begin = Time{Duration{plain.begin_ns}};
  effect.lease_until = Time{Duration{plain.until_ns}};
  return true;
}

}  // namespace

std::string encode(const Record& record) {
  rapidjson::StringBuffer buffer;
  Json json(buffer);
  Writer writer(json);
  json.StartObject();
  writer.text("record", std::string(name_in(kind_names, record.kind)));
  writer.text("effect", record.lease.effect.id);
  if (record.kind == Record::Kind::intent) {
    const Effect& effect = record.lease.effect;
    const Action& action = effect.decision.action;
    Plain plain{.action = std::string(name_of(action.kind)),
                .signal = std::string(signal_name(action.signal)),
                .decided_ns = to_ns(effect.decision.time),
                .lease_ns = action.lease.count(),
                .begin_ns = to_ns(effect.begin),
                .until_ns = to_ns(effect.lease_until)};
    members(writer, record.lease, plain);
  }
  json.EndObject();
  std::string line(buffer.GetString(), buffer.GetSize() - 1);
  return line += checksum_of(line);
}

Result<Record> decode(std::string_view line) {
  if (line.size() < checksum_bytes || line.size() > record_limit) return Error{"not a record"};
  const std::string_view body = line.substr(0, line.size() - checksum_bytes);
  if (line.substr(body.size()) != checksum_of(body)) return Error{"the record is damaged"};
  rapidjson::Document document;
  document.Parse<rapidjson::kParseIterativeFlag>(line.data(), line.size());
  if (document.HasParseError() || !document.IsObject()) return Error{"the record is no JSON object"};
  Reader reader(document);
  Record record;
  std::string name;
  const auto kind = reader.text("record", name) ? value_in(kind_names, name) : std::nullopt;
  if (!kind || !reader.text("effect", record.lease.effect.id) || !is_id(record.lease.effect.id))
    return Error{"the record is of no kind, or of no effect"};
  record.kind = *kind;
  if (record.kind == Record::Kind::intent && !read_intent(reader, record.lease))
    return Error{"a member of the record is missing or wrong"};
  return record;
}

JournalContent read_journal(std::string_view text) {
  JournalContent content;
  while (!text.empty()) {
    const auto end = text.find('\n');
    if (end == std::string_view::npos) break;
    auto record = decode(text.substr(0, end));
    text.remove_prefix(end + 1);
    if (!record) {
      ++content.damaged_lines;
      continue;
    }
    const auto same = std::find_if(content.outstanding.begin(), content.outstanding.end(),
                                   [&](const Lease& lease) { return lease.effect.id == record->lease.effect.id; });
    if (record->kind == Record::Kind::undone) {
      if (same != content.outstanding.end()) content.outstanding.erase(same);
    } else if (record->kind == Record::Kind::intent) {
      if (same != content.outstanding.end()) {
        *same = std::move(record->lease);
      } else {
        content.outstanding.push_back(std::move(record->lease));
      }
    }
  }
  return content;
}

}  // namespace inferscope::act
