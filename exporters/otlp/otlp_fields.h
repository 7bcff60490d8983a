// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "model/text.h"
#include "model/trace_attributes.h"
#include "opentelemetry/proto/common/v1/common.pb.h"
#include "opentelemetry/proto/resource/v1/resource.pb.h"

/// What spans and log records have in common.
namespace inferscope::exporters {

namespace common = opentelemetry::proto::common::v1;
using Fields = google::protobuf::RepeatedPtrField<common::KeyValue>;

struct ValueWriter {
  common::AnyValue& out;
  void operator()(bool value) const { out.set_bool_value(value); }
  void operator()(std::int64_t value) const { out.set_int_value(value); }
  void operator()(double value) const { out.set_double_value(value); }
  void operator()(const std::string& value) const { out.set_string_value(value); }
  void operator()(const std::vector<std::string>& values) const {
    auto& array = *out.mutable_array_value();
    for (const std::string& value : values) array.add_values()->set_string_value(value);
  }
  void operator()(const std::vector<double>& values) const {
    auto& array = *out.mutable_array_value();
    for (const double value : values) array.add_values()->set_double_value(value);
  }
};

inline void add(Fields& fields, std::string_view name, const AttributeValue& value) {
  common::KeyValue& field = *fields.Add();
  field.set_key(std::string(name));
  std::visit(ValueWriter{*field.mutable_value()}, value);
}

inline void add_all(Fields& fields, const Attributes& attributes) {
  for (const Attribute& attribute : attributes) add(fields, attribute.name, attribute.value);
}

template <std::size_t size>
std::string bytes_of(const std::array<std::uint8_t, size>& id) {
  return {reinterpret_cast<const char*>(id.data()), id.size()};
}

inline void fill_resource(opentelemetry::proto::resource::v1::Resource& resource, const std::string& service_name,
                          const std::map<std::string, std::string>& attributes) {
  Fields& fields = *resource.mutable_attributes();
  // Protobuf's strings are UTF-8: one that is not would cost the whole batch.
  add(fields, "service.name", clean_text(service_name));
  for (const auto& [name, value] : attributes)
    if (name != "service.name") add(fields, clean_text(name), clean_text(value, 4096));
}

}  // namespace inferscope::exporters
