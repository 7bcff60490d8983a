// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cstring>
#include <set>
#include <tuple>

#include "exporters/otlp/otlp_spans.h"
#include "opentelemetry/proto/collector/trace/v1/trace_service.pb.h"
#include "tests/support/traces.h"

namespace inferscope::exporters {
namespace {

namespace otlp = opentelemetry::proto::trace::v1;
using Request = opentelemetry::proto::collector::trace::v1::ExportTraceServiceRequest;
using Value = opentelemetry::proto::common::v1::AnyValue;
using Fields = google::protobuf::RepeatedPtrField<opentelemetry::proto::common::v1::KeyValue>;

std::string encode(std::initializer_list<RequestTrace> traces,
                   const std::map<std::string, std::string>& resource = {}) {
  std::vector<std::shared_ptr<const RequestTrace>> shared;
  for (const RequestTrace& trace : traces) shared.push_back(std::make_shared<const RequestTrace>(trace));
  return encode_spans(shared, "inferscope", resource);
}

Request decode(const std::string& bytes) {
  Request request;
  EXPECT_TRUE(request.ParseFromString(bytes));
  return request;
}

const google::protobuf::RepeatedPtrField<otlp::Span>& spans_of(const Request& request) {
  EXPECT_EQ(request.resource_spans_size(), 1);
  return request.resource_spans(0).scope_spans(0).spans();
}

const Value* find(const Fields& fields, std::string_view key) {
  const Value* found = nullptr;
  for (const auto& field : fields)
    if (field.key() == key) {
      EXPECT_EQ(found, nullptr) << key << " twice";
      found = &field.value();
    }
  return found;
}

constexpr std::uint64_t begin_unix = 1'700'000'001'000'000'000;

TEST(OtlpSpans, ChatRequestIsFourSpans) {
  const Request request = decode(encode({test::chat_trace()}));
  const auto& spans = spans_of(request);
  ASSERT_EQ(spans.size(), 4);
  EXPECT_EQ(spans[0].name(), "POST");
  EXPECT_EQ(spans[0].kind(), otlp::Span::SPAN_KIND_SERVER);
  EXPECT_EQ(spans[1].name(), "chat tiny");
  EXPECT_EQ(spans[1].kind(), otlp::Span::SPAN_KIND_INTERNAL);
  EXPECT_EQ(spans[2].name(), "queue and prefill");
  EXPECT_EQ(spans[3].name(), "decode");
  EXPECT_EQ(spans[0].parent_span_id(), "");
  EXPECT_EQ(spans[1].parent_span_id(), spans[0].span_id());
  EXPECT_EQ(spans[2].parent_span_id(), spans[1].span_id());
  EXPECT_EQ(spans[3].parent_span_id(), spans[1].span_id());
  std::set<std::string> ids;
  for (const auto& span : spans) {
    EXPECT_EQ(span.trace_id(), spans[0].trace_id());
    EXPECT_EQ(span.trace_id().size(), 16u);
    EXPECT_EQ(span.span_id().size(), 8u);
    ids.insert(span.span_id());
  }
  EXPECT_EQ(ids.size(), 4u);
}

TEST(OtlpSpans, TimesAndPhases) {
  const Request request = decode(encode({test::chat_trace()}));
  const auto& spans = spans_of(request);
  ASSERT_EQ(spans.size(), 4);
  constexpr std::uint64_t ms = 1'000'000;
  const std::pair<std::uint64_t, std::uint64_t> expected[] = {{0, 100}, {0, 100}, {0, 20}, {20, 60}};
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(spans[i].start_time_unix_nano(), begin_unix + expected[i].first * ms) << i;
    EXPECT_EQ(spans[i].end_time_unix_nano(), begin_unix + expected[i].second * ms) << i;
  }
}

TEST(OtlpSpans, AnAccountGivesPhasesEventsAndLinks) {
  const Request request = decode(encode({test::explained_trace()}));
  const auto& spans = spans_of(request);
  ASSERT_EQ(spans.size(), 5);
  constexpr std::uint64_t ms = 1'000'000;
  const std::tuple<const char*, std::uint64_t, std::uint64_t> phases[] = {
      {"queue", 2, 5}, {"prefill", 5, 19}, {"decode", 19, 59}};
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(spans[i + 2].name(), std::get<0>(phases[i]));
    EXPECT_EQ(spans[i + 2].start_time_unix_nano(), begin_unix + std::get<1>(phases[i]) * ms);
    EXPECT_EQ(spans[i + 2].end_time_unix_nano(), begin_unix + std::get<2>(phases[i]) * ms);
  }
  const otlp::Span& call = spans[1];
  ASSERT_EQ(call.events_size(), 3);
  EXPECT_EQ(call.events(0).name(), "inferscope.delay");
  EXPECT_EQ(call.events(0).time_unix_nano(), begin_unix + 20 * ms);
  EXPECT_EQ(find(call.events(0).attributes(), "inferscope.cause.kind")->string_value(), "run_queue");
  EXPECT_EQ(find(call.events(0).attributes(), "inferscope.delay.time")->double_value(), 0.01);
  EXPECT_EQ(call.events(1).name(), "inferscope.engine_step");
  EXPECT_EQ(find(call.events(1).attributes(), "inferscope.step.kind")->string_value(), "mixed");
  EXPECT_EQ(find(call.events(1).attributes(), "inferscope.step.members")->int_value(), 2);
  EXPECT_EQ(find(call.events(1).attributes(), "inferscope.gpu.time")->double_value(), 0.007);
  ASSERT_EQ(call.links_size(), 1);
  EXPECT_EQ(call.links(0).trace_id(), std::string(16, '\x7f'));
  EXPECT_EQ(call.links(0).span_id(), std::string(8, '\x3a'));
  EXPECT_EQ(find(call.attributes(), "inferscope.gpu.time")->double_value(), 0.012);
  EXPECT_EQ(find(call.attributes(), "inferscope.gpu.attribution")->string_value(), "shared");
  EXPECT_EQ(find(call.attributes(), "inferscope.cause.kind")->string_value(), "head_of_line");
}

TEST(OtlpSpans, OnlyPhasesThatWereSeen) {
  auto one_token = test::chat_trace();
  one_token.call.last_token = one_token.call.first_token;
  EXPECT_EQ(spans_of(decode(encode({one_token}))).size(), 3);
  auto no_token = test::chat_trace();
  no_token.call.first_token.reset();
  no_token.call.last_token.reset();
  EXPECT_EQ(spans_of(decode(encode({no_token}))).size(), 2);
  EXPECT_EQ(spans_of(decode(encode({test::plain_trace()}))).size(), 1);
}

TEST(OtlpSpans, ClientWithParentAndState) {
  auto trace = test::chat_trace();
  trace.role = Role::client;
  trace.parent_span_id = SpanId{1, 2, 3, 4, 5, 6, 7, 8};
  trace.trace_state = "vendor=1";
  const Request request = decode(encode({trace}));
  const auto& spans = spans_of(request);
  EXPECT_EQ(spans[0].kind(), otlp::Span::SPAN_KIND_CLIENT);
  EXPECT_EQ(spans[1].kind(), otlp::Span::SPAN_KIND_CLIENT);
  EXPECT_EQ(spans[0].parent_span_id(), std::string("\1\2\3\4\5\6\7\10", 8));
  for (const auto& span : spans) EXPECT_EQ(span.trace_state(), "vendor=1");
}

TEST(OtlpSpans, AttributesHaveTheirTypes) {
  const Request request = decode(encode({test::chat_trace()}));
  const auto& spans = spans_of(request);
  const Value* status = find(spans[0].attributes(), "http.response.status_code");
  ASSERT_TRUE(status);
  EXPECT_EQ(status->int_value(), 200);
  EXPECT_EQ(status->value_case(), Value::kIntValue);
  EXPECT_EQ(find(spans[0].attributes(), "inferscope.complete")->value_case(), Value::kBoolValue);
  EXPECT_EQ(find(spans[0].attributes(), "url.path")->string_value(), "/v1/chat/completions");
  const Fields& call = spans[1].attributes();
  EXPECT_EQ(find(call, "gen_ai.request.model")->string_value(), "tiny");
  EXPECT_EQ(find(call, "gen_ai.usage.output_tokens")->int_value(), 3);
  EXPECT_TRUE(find(call, "gen_ai.request.stream")->bool_value());
  EXPECT_DOUBLE_EQ(find(call, "gen_ai.request.temperature")->double_value(), 0.5);
  EXPECT_DOUBLE_EQ(find(call, "inferscope.time_to_first_token")->double_value(), 0.02);
  const Value* reasons = find(call, "gen_ai.response.finish_reasons");
  ASSERT_TRUE(reasons);
  ASSERT_EQ(reasons->array_value().values_size(), 1);
  EXPECT_EQ(reasons->array_value().values(0).string_value(), "stop");
  EXPECT_EQ(find(call, "gen_ai.response.id"), nullptr) << "what was not seen is absent";
}

TEST(OtlpSpans, StatusIsErrorOnlyForErrors) {
  EXPECT_FALSE(spans_of(decode(encode({test::chat_trace()})))[0].has_status());
  auto cancelled = test::chat_trace();
  cancelled.outcome = Outcome::client_cancelled;
  EXPECT_FALSE(spans_of(decode(encode({cancelled})))[0].has_status());
  auto failed = test::chat_trace();
  failed.outcome = Outcome::error;
  failed.exchange.response.status = 503;
  const Request request = decode(encode({failed}));
  const auto& spans = spans_of(request);
  EXPECT_EQ(spans[0].status().code(), otlp::Status::STATUS_CODE_ERROR);
  EXPECT_EQ(spans[1].status().code(), otlp::Status::STATUS_CODE_ERROR);
  EXPECT_EQ(find(spans[0].attributes(), "error.type")->string_value(), "503");
}

TEST(OtlpSpans, ResourceIsTheProcess) {
  auto restarted = test::chat_trace(3, 100);
  restarted.process.start_time_ns += 1;
  const Request request =
      decode(encode({test::chat_trace(1, 100), test::chat_trace(2, 200), test::chat_trace(4, 100), restarted},
                    {{"deployment.environment", "test"}, {"service.name", "other"}}));
  ASSERT_EQ(request.resource_spans_size(), 3);
  EXPECT_EQ(request.resource_spans(0).scope_spans(0).spans_size(), 8);
  EXPECT_EQ(request.resource_spans(1).scope_spans(0).spans_size(), 4);
  for (const auto& group : request.resource_spans()) {
    const Fields& fields = group.resource().attributes();
    EXPECT_EQ(find(fields, "service.name")->string_value(), "inferscope");
    EXPECT_EQ(find(fields, "deployment.environment")->string_value(), "test");
    EXPECT_EQ(find(fields, "process.executable.name")->string_value(), "llama-server");
    EXPECT_EQ(group.scope_spans(0).scope().name(), "inferscope");
  }
  EXPECT_EQ(find(request.resource_spans(0).resource().attributes(), "process.pid")->int_value(), 100);
  EXPECT_EQ(find(request.resource_spans(1).resource().attributes(), "process.pid")->int_value(), 200);
}

TEST(OtlpSpans, NoContentAndNoSecrets) {
  const std::string bytes = encode({test::chat_trace()});
  EXPECT_EQ(bytes.find("secret"), std::string::npos) << "neither query nor credentials";
  EXPECT_EQ(bytes.find("x.gguf"), std::string::npos) << "nor arguments";
}

TEST(OtlpSpans, HostileTextStillIsProtobuf) {
  auto trace = test::chat_trace();
  trace.trace_state = "a=\xff";
  trace.exchange.request.method = "P\xc3ST";
  trace.exchange.request.target = "/\xfe\x80";
  trace.process.name = "n\xff";
  trace.process.executable = "/opt/\xff";
  trace.call.request.model = "m\xed\xa0\x80";
  trace.call.response.finish_reasons = {"\xff"};
  const Request request = decode(encode({trace}, {{"k\xff", "v\xff"}}));
  EXPECT_EQ(spans_of(request)[0].name(), "P\xEF\xBF\xBDST");
}

TEST(OtlpSpans, SameTraceSameBytes) {
  EXPECT_EQ(encode({test::chat_trace()}), encode({test::chat_trace()}));
  EXPECT_EQ(encode({}), "");
}

/// The wire format by hand, so that a wrong field number in our copy of the interface is noticed.
struct WireField {
  unsigned number = 0;
  unsigned type = 0;
  std::string_view bytes{};  ///< for type 2
  std::uint64_t value = 0;
};

std::vector<WireField> fields_of(std::string_view bytes) {
  const auto varint = [&bytes] {
    std::uint64_t value = 0;
    for (int shift = 0; !bytes.empty(); shift += 7) {
      const auto byte = static_cast<unsigned char>(bytes[0]);
      bytes.remove_prefix(1);
      value |= std::uint64_t{byte & 0x7fu} << shift;
      if (byte < 0x80) break;
    }
    return value;
  };
  std::vector<WireField> fields;
  while (!bytes.empty()) {
    const std::uint64_t tag = varint();
    WireField field{static_cast<unsigned>(tag >> 3), static_cast<unsigned>(tag & 7)};
    if (field.type == 0) {
      field.value = varint();
    } else if (field.type == 1) {
      std::memcpy(&field.value, bytes.data(), 8);
      bytes.remove_prefix(8);
    } else {
      EXPECT_EQ(field.type, 2u);
      field.bytes = bytes.substr(0, varint());
      bytes.remove_prefix(field.bytes.size());
      field.bytes = std::string_view(field.bytes.data(), field.bytes.size());
    }
    fields.push_back(field);
  }
  return fields;
}

WireField field(std::string_view bytes, unsigned number) {
  for (const WireField& one : fields_of(bytes))
    if (one.number == number) return one;
  ADD_FAILURE() << "no field " << number;
  return {};
}

TEST(OtlpSpans, FieldNumbersAreThePublishedOnes) {
  auto failed = test::chat_trace();
  failed.outcome = Outcome::error;
  const std::string bytes = encode({failed});
  const auto group = field(bytes, 1).bytes;                            // resource_spans
  const auto resource = field(group, 1).bytes;                         // resource
  const auto attribute = field(resource, 1).bytes;                     // attributes
  EXPECT_EQ(field(attribute, 1).bytes, "service.name");                // key
  EXPECT_EQ(field(field(attribute, 2).bytes, 1).bytes, "inferscope");  // value, string_value
  const auto scope = field(group, 2).bytes;                            // scope_spans
  EXPECT_EQ(field(field(scope, 1).bytes, 1).bytes, "inferscope");
  const auto span = field(scope, 2).bytes;  // spans
  EXPECT_EQ(field(span, 1).bytes.size(), 16u);
  EXPECT_EQ(field(span, 2).bytes.size(), 8u);
  EXPECT_EQ(field(span, 5).bytes, "POST");
  EXPECT_EQ(field(span, 6).value, 2u) << "SERVER";
  EXPECT_EQ(field(span, 7).type, 1u) << "fixed64";
  EXPECT_EQ(field(span, 7).value, begin_unix);
  EXPECT_EQ(field(span, 8).value, begin_unix + 100'000'000);
  EXPECT_EQ(field(field(span, 15).bytes, 3).value, 2u) << "status: ERROR";
}

}  // namespace
}  // namespace inferscope::exporters
