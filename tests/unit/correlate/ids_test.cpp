// SPDX-License-Identifier: Apache-2.0
#include "correlate/ids.h"

#include <gtest/gtest.h>

#include <set>

#include "model/trace_attributes.h"

namespace inferscope::correlate {
namespace {

TEST(Ids, SameSeedSameIds) {
  const IdSeed seed{1, 2, 3, 4, 5};
  EXPECT_EQ(make_trace_id(seed), make_trace_id(seed));
  EXPECT_EQ(make_http_span_id(seed), make_http_span_id(seed));
  EXPECT_NE(make_http_span_id(seed), make_call_span_id(seed));
  // Replays of old recordings must go on giving these.
  EXPECT_EQ(hex(make_trace_id(seed)), "8502ef376a91e10b7b26cb08820db9e5");
  EXPECT_EQ(hex(make_http_span_id(seed)), "3fe375d6162c14ce");
}

TEST(Ids, EveryPartOfTheSeedCounts) {
  std::set<SpanId> ids;
  for (const IdSeed& seed : {IdSeed{}, IdSeed{.connection = 1}, IdSeed{.sequence = 1}, IdSeed{.begin_ns = 1},
                             IdSeed{.process_start_ns = 1}, IdSeed{.unix_minus_kernel_ns = 1}})
    EXPECT_TRUE(ids.insert(make_http_span_id(seed)).second);
}

TEST(TraceParentHeader, Valid) {
  const auto parent = parse_traceparent("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
  ASSERT_TRUE(parent);
  EXPECT_EQ(hex(parent->trace_id), "0af7651916cd43dd8448eb211c80319c");
  EXPECT_EQ(hex(parent->span_id), "b7ad6b7169203331");
  EXPECT_EQ(parent->flags, 1);
  EXPECT_TRUE(parse_traceparent("01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"));
  EXPECT_TRUE(parse_traceparent("cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00-more"));
}

TEST(TraceParentHeader, Invalid) {
  for (const std::string_view header : {
           "",
           "00",
           "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
           "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0",
           "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
           "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01 ",
           "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01.more",
           "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
           "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
           "00-00000000000000000000000000000000-b7ad6b7169203331-01",
           "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
           "00-0af7651916cd43dd8448eb211c80319c-b7ad6b716920333x-01",
           "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0x",
           "0x-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
           "00_0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
       })
    EXPECT_FALSE(parse_traceparent(header)) << header;
}

}  // namespace
}  // namespace inferscope::correlate
