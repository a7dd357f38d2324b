// SPDX-License-Identifier: MIT
#include "rwkv/grammar/code_points.hpp"

#include <set>
#include <string>

#include "rwkv/core/utf8.hpp"
#include "support/support.hpp"

using namespace rwkv;

namespace {

using Sequences = std::vector<std::vector<ByteRange>>;

Sequences sequences(CodePoints::Range range) {
  Sequences found;
  for_each_utf8_sequence(range, [&](std::span<const ByteRange> s) { found.emplace_back(s.begin(), s.end()); });
  return found;
}

bool fits(const std::vector<ByteRange>& sequence, const std::string& bytes) {
  if (sequence.size() != bytes.size()) return false;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    const auto byte = static_cast<unsigned char>(bytes[i]);
    if (byte < sequence[i].first || byte > sequence[i].last) return false;
  }
  return true;
}

}  // namespace

TEST_SUITE_BEGIN("grammar/code_points");

TEST_CASE("ranges that touch or overlap become one") {
  CodePoints set{{10, 20}, {30, 40}, {50, 50}};
  CHECK(set.ranges().size() == 3);
  set.add({21, 29});
  CHECK(set.ranges() == std::vector<CodePoints::Range>{{10, 40}, {50, 50}});
  set.add({0, 45});
  CHECK(set.ranges() == std::vector<CodePoints::Range>{{0, 45}, {50, 50}});
  set.add({7, 6});
  CHECK(set.ranges().size() == 2);
  set.add(CodePoints::all());
  CHECK(set.ranges() == std::vector<CodePoints::Range>{{0, 0x10ffff}});
}

TEST_CASE("a complement has what the set has not") {
  const CodePoints set{{0, 0}, {5, 9}, {0x10ffff, 0x10ffff}};
  CHECK(set.complement().ranges() == std::vector<CodePoints::Range>{{1, 4}, {10, 0x10fffe}});
  CHECK(set.complement().complement().ranges() == set.ranges());
  CHECK(CodePoints().complement().ranges() == CodePoints::all().ranges());
  CHECK(CodePoints::all().complement().ranges().empty());
  CHECK(set.without({{6, 7}}).ranges() == std::vector<CodePoints::Range>{{0, 0}, {5, 5}, {8, 9}, {0x10ffff, 0x10ffff}});
}

TEST_CASE("all characters are the well-formed sequences of table 3-7 of the Unicode Standard") {
  const Sequences expected{{{0x00, 0x7f}},
                           {{0xc2, 0xdf}, {0x80, 0xbf}},
                           {{0xe0, 0xe0}, {0xa0, 0xbf}, {0x80, 0xbf}},
                           {{0xe1, 0xec}, {0x80, 0xbf}, {0x80, 0xbf}},
                           {{0xed, 0xed}, {0x80, 0x9f}, {0x80, 0xbf}},
                           {{0xee, 0xef}, {0x80, 0xbf}, {0x80, 0xbf}},
                           {{0xf0, 0xf0}, {0x90, 0xbf}, {0x80, 0xbf}, {0x80, 0xbf}},
                           {{0xf1, 0xf3}, {0x80, 0xbf}, {0x80, 0xbf}, {0x80, 0xbf}},
                           {{0xf4, 0xf4}, {0x80, 0x8f}, {0x80, 0xbf}, {0x80, 0xbf}}};
  CHECK(sequences({0, 0x10ffff}) == expected);
  CHECK(sequences({0xd800, 0xdfff}).empty());
}

TEST_CASE("a character goes through exactly one sequence of the ranges that hold it, and through none of others") {
  const char32_t edges[] = {0,       1,       0x7e,    0x7f,    0x80,     0xbf,    0x7ff,  0x800,
                            0xfff,   0x1000,  0x1234,  0xd7ff,  0xe000,   0xfffd,  0xffff, 0x10000,
                            0x12345, 0x3ffff, 0x40000, 0xfffff, 0x100000, 0x10ffff};
  for (const char32_t first : edges) {
    for (const char32_t last : edges) {
      const Sequences found = sequences({first, last});
      for (const char32_t code_point : edges) {
        std::string bytes;
        REQUIRE(append_utf8(code_point, bytes));
        const auto n = std::ranges::count_if(found, [&](const auto& sequence) { return fits(sequence, bytes); });
        CAPTURE(first);
        CAPTURE(last);
        CAPTURE(code_point);
        CHECK(n == (first <= code_point && code_point <= last ? 1 : 0));
      }
    }
  }
}

TEST_SUITE_END();
