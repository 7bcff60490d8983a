// SPDX-License-Identifier: Apache-2.0
#include "model/text.h"

#include <gtest/gtest.h>

namespace inferscope {
namespace {

constexpr const char* bad = "\xEF\xBF\xBD";

TEST(CleanText, ValidTextStays) {
  for (const std::string_view text : {"", "gpt-4o", "Qwen/模型", "\xF0\x9F\x98\x80", "\xEF\xBF\xBD"}) {
    EXPECT_EQ(clean_text(text), text);
    EXPECT_TRUE(is_clean_text(text));
  }
}

TEST(CleanText, InvalidBytesAreReplaced) {
  for (const std::string_view text : {"\xff", "\x80", "\xc0", "\xc3", "\xf5", "\x1b", "\x7f", "\n"}) {
    EXPECT_EQ(clean_text(text), bad);
    EXPECT_FALSE(is_clean_text(text));
  }
  EXPECT_EQ(clean_text("\xed\xa0\x80"), std::string(bad) + bad + bad);  // a surrogate
  EXPECT_EQ(clean_text("\xe0\x80\xaf"), std::string(bad) + bad + bad);  // overlong
  EXPECT_EQ(clean_text("\xc2\x9b"), std::string(bad) + bad);            // a terminal's control sequence
  EXPECT_EQ(clean_text("a\xe6\xa8"), "a" + std::string(bad) + bad);     // cut in a character
}

TEST(CleanText, CutsBetweenCharacters) {
  EXPECT_EQ(clean_text("aé", 2), "a");
  EXPECT_EQ(clean_text("aé", 3), "aé");
  EXPECT_EQ(clean_text("\xff\xff", 4), bad);
  EXPECT_FALSE(is_clean_text("abc", 2));
}

}  // namespace
}  // namespace inferscope
