// SPDX-License-Identifier: Apache-2.0
#include "core/packed.h"

#include <gtest/gtest.h>

#include "tests/support/zmtp_frames.h"

namespace inferscope {
namespace {

using namespace std::string_literals;
using Kind = Packed::Kind;
using test::packed_array;
using test::packed_map;
using test::packed_nil;
using test::packed_number;
using test::packed_real;
using test::packed_text;

TEST(Packed, WhatIsCutOffIsNotWrong) {
  PackedReader reader;
  const std::string bytes = packed_array({packed_text("text"), packed_array({packed_number(70000)})});
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    reader.parse(std::string_view(bytes).substr(0, size));
    EXPECT_TRUE(reader.cut_off()) << size;
  }
  for (const std::string& other : {bytes, bytes + "x", "\x92\1\xc1"s}) {
    reader.parse(other);
    EXPECT_FALSE(reader.cut_off()) << other;
  }
}

TEST(Packed, Values) {
  PackedReader reader;
  const std::string bytes =
      packed_array({packed_nil, "\xc3", packed_number(7), packed_number(70000), "\xff", packed_real(1.5),
                    packed_text("text"), "\xc4\2\1\2"s, packed_array({}), "\xd4\5\6"s});
  const Packed* root = reader.parse(bytes);
  ASSERT_NE(root, nullptr);
  EXPECT_EQ(reader.size(), bytes.size());
  EXPECT_TRUE(root->whole);
  EXPECT_EQ(root->size, 10U);
  const Kind kinds[] = {Kind::nil,  Kind::boolean, Kind::integer, Kind::integer, Kind::integer,
                        Kind::real, Kind::text,    Kind::binary,  Kind::array,   Kind::binary};
  std::size_t place = 0;
  for (const Packed* value = reader.first(*root); value != nullptr; value = reader.next(*value))
    EXPECT_EQ(value->kind, kinds[place++]);
  EXPECT_EQ(place, 10U);
  EXPECT_EQ(count_of(*reader.element(*root, 3)), 70000U);
  EXPECT_EQ(reader.element(*root, 4)->integer, -1);
  EXPECT_FALSE(count_of(*reader.element(*root, 4)));
  EXPECT_EQ(reader.element(*root, 5)->real, 1.5);
  EXPECT_EQ(reader.element(*root, 6)->content, "text");
  EXPECT_EQ(reader.element(*root, 10), nullptr);
  EXPECT_EQ(reader.element(*reader.first(*root), 0), nullptr) << "no array";
}

TEST(Packed, Members) {
  PackedReader reader;
  const std::string bytes =
      packed_map({packed_text("a"), packed_map({packed_text("b"), packed_number(1)}), packed_number(5), packed_nil,
                  packed_text("b"), packed_number(2), packed_text("c"), packed_text("see")});
  const Packed* root = reader.parse(bytes);
  ASSERT_NE(root, nullptr);
  EXPECT_EQ(root->size, 4U);
  EXPECT_EQ(reader.count_member(*root, "b"), 2U);
  EXPECT_EQ(reader.text_member(*root, "c"), "see");
  EXPECT_EQ(reader.text_member(*root, "b"), "");
  EXPECT_EQ(reader.member(*root, "see"), nullptr);
  EXPECT_EQ(reader.count_member(*reader.member(*root, "a"), "b"), 1U);
}

TEST(Packed, WhatIsCutOffGivesItsBeginning) {
  PackedReader reader;
  const std::string bytes = packed_array({packed_text("id"), packed_array({packed_number(1), packed_number(2)}),
                                          packed_text("a long text that will be missing")});
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    const Packed* root = reader.parse(std::string_view(bytes).substr(0, size));
    EXPECT_FALSE(reader.size()) << size;
    EXPECT_EQ(root != nullptr, size > 0);
    if (root == nullptr) continue;
    EXPECT_EQ(root->size, 3U);
    EXPECT_FALSE(root->whole);
    const Packed* id = reader.first(*root);
    EXPECT_EQ(id != nullptr, size >= 4);
    EXPECT_TRUE(id == nullptr || id->content == "id");
    const Packed* numbers = reader.element(*root, 1);
    EXPECT_EQ(numbers != nullptr && numbers->whole, size >= 7);
  }
}

TEST(Packed, HostileSizesAndDepths) {
  PackedReader reader;
  for (const std::string& bytes : {"\xdd\xff\xff\xff\xff\1"s, "\xdf\xff\xff\xff\xff\1\1"s, "\xdb\xff\xff\xff\xff\1"s,
                                   "\xc6\xff\xff\xff\xff\1"s, "\xc9\xff\xff\xff\xff\1"s, "\xc1"s}) {
    reader.parse(bytes);
    EXPECT_FALSE(reader.size());
  }
  const std::string deep(1'000'000, '\x91');
  ASSERT_NE(reader.parse(deep), nullptr);
  EXPECT_FALSE(reader.size());
  const std::string maps(1'000'000, '\x81');
  reader.parse(maps);
  EXPECT_FALSE(reader.size());
}

TEST(Packed, ManyValuesAreCountedAndNotKept) {
  PackedReader reader;
  const std::string row = packed_array(std::vector<std::string>(100'000, packed_number(1)));
  const std::string bytes = packed_array({row, packed_text("behind")});
  const Packed* root = reader.parse(bytes);
  ASSERT_NE(root, nullptr);
  EXPECT_EQ(reader.size(), bytes.size());
  const Packed* first = reader.first(*root);
  EXPECT_EQ(first->size, 100'000U);
  EXPECT_FALSE(first->whole);
  std::size_t kept = 0;
  for (const Packed* value = reader.first(*first); value != nullptr; value = reader.next(*value)) ++kept;
  EXPECT_EQ(kept, PackedReader::longest_row);
  EXPECT_EQ(reader.next(*first)->content, "behind");

  const std::string rows = packed_array(std::vector<std::string>(20, row));
  root = reader.parse(rows);
  ASSERT_NE(root, nullptr);
  EXPECT_EQ(reader.size(), rows.size());
  EXPECT_FALSE(root->whole);
}

}  // namespace
}  // namespace inferscope
