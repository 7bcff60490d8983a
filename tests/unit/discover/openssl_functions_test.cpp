// SPDX-License-Identifier: Apache-2.0
// What is not proven is not told.
#include "discover/tls/openssl_functions.h"

#include <gtest/gtest.h>

#include <functional>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

namespace inferscope::discover {
namespace {

constexpr std::uint64_t read_at = 0x100, read_internal_at = 0x200, write_at = 0x300, write_internal_at = 0x400,
                        free_at = 0x500, new_at = 0x600, read_ex_at = 0x700;

const Passed own{Tracked{Tracked::Is::argument, 0}, Tracked{Tracked::Is::argument, 1},
                 Tracked{Tracked::Is::argument, 2}, Tracked{Tracked::Is::argument, 3}};

CodeFacts::Transfer call_of(std::uint64_t to, bool first = false, const Passed& passed = {}) {
  return {.to = to, .call = true, .conditional = false, .first = first, .passed = passed};
}

OpenSslPiece& add(OpenSslPieces& pieces, std::uint64_t begin, std::set<OpenSslPart> parts) {
  OpenSslPiece& one = pieces[begin];
  one.piece.range = {begin, begin + 0x80};
  one.in_source = true;
  one.parts = std::move(parts);
  return one;
}

/// As in a program that nothing unusual was done to.
OpenSslPieces usual() {
  OpenSslPieces pieces;
  for (const auto& [outer, outer_part, inner, inner_part] :
       {std::tuple{read_at, OpenSslPart::read, read_internal_at, OpenSslPart::read_internal},
        std::tuple{write_at, OpenSslPart::write, write_internal_at, OpenSslPart::write_internal}}) {
    OpenSslPiece& plain = add(pieces, outer, {outer_part});
    plain.facts.third_is_int = true;
    plain.facts.transfers = {call_of(inner)};
    add(pieces, inner, {inner_part}).facts.handed_on = {own};
  }
  add(pieces, free_at, {}).facts.counts_in_first = true;
  add(pieces, new_at, {OpenSslPart::session_new}).facts.transfers = {call_of(free_at)};
  add(pieces, read_ex_at, {}).facts.transfers = {call_of(read_internal_at, true, own)};
  return pieces;
}

std::set<std::string> told(const OpenSslPieces& pieces) {
  std::set<std::string> symbols;
  for (const OpenSslFunction& one : prove_openssl(pieces).functions) symbols.insert(one.symbol);
  return symbols;
}

TEST(OpenSslFunctions, TheUsual) {
  const auto result = prove_openssl(usual());
  EXPECT_EQ(result.problem, "");
  EXPECT_EQ(told(usual()), (std::set<std::string>{"SSL_read", "SSL_write", "SSL_read_ex", "SSL_free"}));
}

/// Each change takes away what one function is proven by.
TEST(OpenSslFunctions, NothingIsToldIfOneIsNotProven) {
  using Change = std::function<void(OpenSslPieces&)>;
  const std::vector<std::pair<const char*, Change>> changes{
      {"SSL_read", [](OpenSslPieces& all) { all[read_at].facts.third_is_int = false; }},
      {"SSL_read", [](OpenSslPieces& all) { all[read_at].facts.transfers.clear(); }},
      {"SSL_read", [](OpenSslPieces& all) { add(all, 0x900, {OpenSslPart::read}); }},
      {"SSL_read", [](OpenSslPieces& all) { all[read_at].piece.in_frame = true; }},
      {"SSL_write",
       [](OpenSslPieces& all) {
         all.erase(write_at);
         all.erase(write_internal_at);
       }},
      {"SSL_free", [](OpenSslPieces& all) { all[free_at].facts.counts_in_first = false; }},
      {"SSL_free", [](OpenSslPieces& all) { all[free_at].in_source = false; }},
      {"SSL_free", [](OpenSslPieces& all) { all.erase(new_at); }},
      {"SSL_free",
       [](OpenSslPieces& all) {
         add(all, 0x900, {}).facts.counts_in_first = true;
         all[new_at].facts.transfers.push_back(call_of(0x900));
       }},
  };
  for (std::size_t i = 0; i < changes.size(); ++i) {
    OpenSslPieces pieces = usual();
    changes[i].second(pieces);
    const auto result = prove_openssl(pieces);
    EXPECT_TRUE(result.functions.empty()) << i;
    EXPECT_NE(result.problem.find(changes[i].first), std::string::npos) << i << ": " << result.problem;
  }
}

TEST(OpenSslFunctions, ThatWithoutANameIsToldOnlyIfItHandsOnItsOwnArguments) {
  const auto with = [](const CodeFacts::Transfer& transfer) {
    OpenSslPieces pieces = usual();
    pieces[read_ex_at].facts.transfers = {transfer};
    return told(pieces).contains("SSL_read_ex");
  };
  EXPECT_TRUE(with(call_of(read_internal_at, true, own)));
  EXPECT_FALSE(with(call_of(read_internal_at, false, own))) << "something else is done before";
  EXPECT_FALSE(with(call_of(read_internal_at, true, {}))) << "as what reads for a filter of BIOs";
  EXPECT_FALSE(with(call_of(write_internal_at, true, Passed{})));
  CodeFacts::Transfer jump = call_of(read_internal_at, true, own);
  jump.call = false;
  EXPECT_FALSE(with(jump)) << "its result would be that of the other";
  OpenSslPieces two = usual();
  add(two, 0x900, {}).facts.transfers = {call_of(read_internal_at, true, own)};
  EXPECT_FALSE(told(two).contains("SSL_read_ex")) << "which of both is it?";
}

/// A linker leaves out what nobody calls. What moves plaintext for the others does the same as they.
TEST(OpenSslFunctions, WhatIsLeftOutIsNotMissed) {
  OpenSslPieces pieces = usual();
  for (const std::uint64_t gone : {read_at, write_at}) pieces.erase(gone);
  EXPECT_EQ(told(pieces), (std::set<std::string>{"SSL_read_ex", "SSL_write_ex", "SSL_free"}));
}

/// What reports the error lies elsewhere. Only what alone goes there is taken for its function.
TEST(OpenSslFunctions, PartsAreJoined) {
  const auto split = [](bool in_frame, bool conditional) {
    OpenSslPieces pieces = usual();
    pieces[read_at].parts.clear();
    pieces[read_at].facts.transfers.push_back({.to = 0x900, .call = false, .conditional = conditional});
    add(pieces, 0x900, {OpenSslPart::read}).piece.in_frame = in_frame;
    return pieces;
  };
  for (const bool in_frame : {true, false}) {
    OpenSslPieces pieces = split(in_frame, true);
    join_pieces(pieces);
    EXPECT_TRUE(told(pieces).contains("SSL_read"));
    OpenSslPieces by_two = split(in_frame, true);
    by_two[write_at].facts.transfers.push_back({.to = 0x900, .call = false, .conditional = true});
    join_pieces(by_two);
    EXPECT_TRUE(told(by_two).empty());
  }
  OpenSslPieces always = split(false, false);
  join_pieces(always);
  EXPECT_TRUE(told(always).empty()) << "that may be a call at the end of another function";
}

}  // namespace
}  // namespace inferscope::discover
