// SPDX-License-Identifier: Apache-2.0
#include "interpret/json_repair.h"

#include <gtest/gtest.h>

namespace inferscope::interpret {
namespace {

TEST(JsonRepairHead, KeepsWholeMembers) {
  EXPECT_EQ(repair_head(R"({"model":"m","stream":true,"messages":[{"role":"us)"), R"({"model":"m","stream":true})");
  EXPECT_EQ(repair_head(R"({"a":1,"b":[1,2],"c":"x","d)"), R"({"a":1,"b":[1,2],"c":"x"})");
}

TEST(JsonRepairHead, LeavesOutValuesThatMayGoOn) {
  EXPECT_EQ(repair_head(R"({"a":1,"max_tokens":12)"), R"({"a":1})");  // may be 120
  EXPECT_EQ(repair_head(R"({"a":1,"model":"gpt)"), R"({"a":1})");
  EXPECT_EQ(repair_head(R"({"a":1,"stream":tru)"), R"({"a":1})");
}

TEST(JsonRepairHead, NothingWhole) {
  EXPECT_FALSE(repair_head(""));
  EXPECT_FALSE(repair_head("{"));
  EXPECT_FALSE(repair_head("{ }"));
  EXPECT_FALSE(repair_head(R"({"messages":[{"role":"user","content":"a,b,c)"));
  EXPECT_FALSE(repair_head(R"([1,2,3)"));
  EXPECT_FALSE(repair_head("Not Found"));
}

TEST(JsonRepairHead, CommasAndBracesInStringsMeanNothing) {
  EXPECT_EQ(repair_head(R"({"a":"},{\",","b":"\\","c":")"), R"({"a":"},{\",","b":"\\"})");
}

TEST(JsonRepairHead, CompleteObjectStays) {
  EXPECT_EQ(repair_head(R"(  {"a":{"b":1}} trailing)"), R"({"a":{"b":1}})");
}

TEST(JsonRepairTail, BeginsInsideAString) {
  EXPECT_EQ(repair_tail(R"(aGVsbG8="}]}],"model":"m","stream":true})"), R"({"model":"m","stream":true})");
}

TEST(JsonRepairTail, BeginsOutsideOfStrings) {
  EXPECT_EQ(repair_tail(R"(,"x"],[1,2]],"model":"m"})"), R"({"model":"m"})");
  EXPECT_EQ(repair_tail(R"(56,"model":"m"})"), R"({"model":"m"})");
}

TEST(JsonRepairTail, BeginsBehindABackslash) {
  EXPECT_EQ(repair_tail(R"(" he said"}],"model":"m"})"), R"({"model":"m"})");
}

TEST(JsonRepairTail, TextOfTheUserThatLooksLikeMembers) {
  // The prompt holds JSON text with the very keys that are looked for.
  EXPECT_EQ(repair_tail(R"(say {\"model\":\"evil\",\"stream\":false}"}],"model":"good","n":2})"),
            R"({"model":"good","n":2})");
}

TEST(JsonRepairTail, NestedMembersAreNotOutermost) {
  EXPECT_EQ(repair_tail(R"(x","model":"inner"}],"tools":[{"model":"deep"}],"n":1})"),
            R"({"tools":[{"model":"deep"}],"n":1})");
}

TEST(JsonRepairTail, NoWholeMember) {
  EXPECT_FALSE(repair_tail(""));
  EXPECT_FALSE(repair_tail("}"));
  EXPECT_FALSE(repair_tail(R"(abc"}]})"));
  EXPECT_FALSE(repair_tail(R"(abc"}],"model":"m")"));  // the end is missing
  EXPECT_FALSE(repair_tail(R"(abc"],"model":"m"])"));  // no object
}

TEST(JsonRepairTail, SpaceBehindTheEnd) {
  EXPECT_EQ(repair_tail("1 , \"n\" : 2 }\r\n"), "{ \"n\" : 2 }");
}

}  // namespace
}  // namespace inferscope::interpret
