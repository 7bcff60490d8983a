// SPDX-License-Identifier: Apache-2.0
#include "model/trace_json.h"

#include <algorithm>
#include <string_view>

#include "model/attributes.h"
#include "model/json_out.h"
#include "model/text.h"
#include "model/time_math.h"
#include "model/trace_attributes.h"

namespace inferscope {

std::string to_json(const RequestTrace& trace, bool token_times) {
  rapidjson::StringBuffer buffer;
  Json json(buffer);
  json.StartObject();
  const auto text = [&](std::string_view name, std::string_view value) {
    write_name(json, name);
    write_text(json, value);
  };
  text("trace_id", hex(trace.trace_id));
  text("span_id", hex(trace.span_id));
  if (trace.parent_span_id) text("parent_span_id", hex(*trace.parent_span_id));
  if (!trace.trace_state.empty()) text("trace_state", clean_text(trace.trace_state, 512));
  write_name(json, "start_time_unix_nano");
  json.Int64(trace.unix_ns(trace.begin));
  write_name(json, "end_time_unix_nano");
  json.Int64(trace.unix_ns(trace.end));

  const TraceAttributes attributes = attributes_of(trace);
  for (const Attribute& attribute : attributes.process) write_attribute(json, attribute);
  for (const Attribute& attribute : attributes.http) write_attribute(json, attribute);
  for (const Attribute& attribute : attributes.call) {
    const bool written = std::any_of(attributes.http.begin(), attributes.http.end(),
                                     [&](const Attribute& other) { return other.name == attribute.name; });
    if (!written) write_attribute(json, attribute);
  }
  if (token_times && trace.exchange.request.begin && !trace.call.token_times.empty()) {
    write_name(json, attribute::token_times);
    json.StartArray();
    for (const Time time : trace.call.token_times)
      write_number(json, to_seconds(elapsed(*trace.exchange.request.begin, time)));
    json.EndArray();
  }
  json.EndObject();
  return {buffer.GetString(), buffer.GetSize()};
}

}  // namespace inferscope
