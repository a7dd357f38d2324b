// SPDX-License-Identifier: MIT
#include "rwkv/core/utf8.hpp"

#include "rwkv/core/error.hpp"

#include "support/support.hpp"

using namespace rwkv;

namespace {

const std::string replacement = "\xef\xbf\xbd";

/// The text of a stream that gets `bytes` in two pieces.
std::string in_two_pieces(std::string_view bytes, std::size_t split) {
  Utf8Stream stream;
  std::string text;
  stream.push(bytes.substr(0, split), text);
  stream.push(bytes.substr(split), text);
  stream.flush(text);
  return text;
}

/// What Unicode allows, written down in another way than the library's: decode, encode again, compare.
bool is_utf8_by_round_trip(const std::string& bytes) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(bytes[i]); };
  const char32_t mask = bytes.size() == 1 ? 0x7f : bytes.size() == 2 ? 0x1f : bytes.size() == 3 ? 0x0f : 0x07;
  char32_t code_point = byte(0) & mask;
  for (std::size_t i = 1; i < bytes.size(); ++i) code_point = (code_point << 6) | (byte(i) & 0x3f);
  std::string again;
  return append_utf8(code_point, again) && again == bytes;
}

}  // namespace

TEST_SUITE_BEGIN("core/utf8");

TEST_CASE("text split at every byte comes out whole, and only whole characters come out early") {
  const std::string text = "aß€𝄞 \u07ff\u0800\ud7ff\ue000\uffff\U00010000\U0010ffff\n";
  for (std::size_t split = 0; split <= text.size(); ++split) {
    CAPTURE(split);
    Utf8Stream stream;
    std::string out;
    stream.push(std::string_view(text).substr(0, split), out);
    CHECK(is_utf8(out));
    CHECK(out + std::string(stream.held()) == text.substr(0, split));
    CHECK(stream.held().size() <= 3);
    stream.push(std::string_view(text).substr(split), out);
    CHECK(stream.held().empty());
    stream.flush(out);
    CHECK(out == text);
  }
}

TEST_CASE("text pushed byte by byte comes out as each character ends") {
  Utf8Stream stream;
  std::string out;
  std::vector<std::size_t> sizes;
  for (const char byte : std::string("a€b")) {
    stream.push({&byte, 1}, out);
    sizes.push_back(out.size());
  }
  CHECK(sizes == std::vector<std::size_t>{1, 1, 1, 4, 5});
}

TEST_CASE("each maximal part of a broken sequence becomes one U+FFFD") {
  // Expected: Python 3, bytes.decode("utf-8", "replace"). First the tables 3-8 to 3-11 of Unicode.
  const std::string& r = replacement;
  struct Case {
    std::string bytes, text;
  };
  const std::vector<Case> table{
      {"\xc0\xaf\xe0\x80\xbf\xf0\x81\x82\x41", r + r + r + r + r + r + r + r + "A"},
      {"\xed\xa0\x80\xed\xbf\xbf\xed\xaf\x41", r + r + r + r + r + r + r + r + "A"},
      {"\xf4\x91\x92\x93\xff\x41\x80\xbf\x42", r + r + r + r + r + "A" + r + r + "B"},
      {"\xe1\x80\xe2\xf0\x91\x92\xf1\xbf\x41", r + r + r + r + "A"},
      {"\x80", r},
      {"\xff\xfe", r + r},
      {"\xc3", r},  // ends too early
      {"\xe2\x82", r},
      {"\xf0\x9d\x84", r},
      {"\xe2\x82z", r + "z"},         // the byte after a broken sequence survives
      {"\xe2\xe2\x82\xac", r + "€"},  // and may start another
      {"\xc3\xc3\xa9", r + "é"},
      {"\xf5\x80\x80\x80", r + r + r + r},
      {"\xf8\x88\x80\x80\x80", r + r + r + r + r},
      {"\xc1\x81", r + r},
      {std::string("\x00", 1), std::string("\x00", 1)},
  };
  for (const Case& c : table) {
    CAPTURE(in_quotes(c.bytes));
    CHECK(to_utf8(c.bytes) == c.text);
    for (std::size_t split = 0; split <= c.bytes.size(); ++split) CHECK(in_two_pieces(c.bytes, split) == c.text);
    CHECK(is_utf8(c.bytes) == (c.bytes == c.text));
  }
}

TEST_CASE("all sequences of up to two bytes, and the borders of longer ones, pass exactly if they are UTF-8") {
  for (int a = 0; a < 256; ++a) {
    const std::string one(1, static_cast<char>(a));
    CHECK(is_utf8(one) == (a < 0x80));
    for (int b = 0; b < 256; ++b) {
      const std::string two = one + static_cast<char>(b);
      REQUIRE(is_utf8(two) == ((a < 0x80 && b < 0x80) || is_utf8_by_round_trip(two)));
      for (const int c : {0x00, 0x7f, 0x80, 0xbf, 0xc0, 0xff}) {
        if (a < 0xe0) continue;
        const std::string three = two + static_cast<char>(c);
        REQUIRE(is_utf8(three) == (a < 0xf0 && is_utf8_by_round_trip(three)));
        for (const int d : {0x7f, 0x80, 0xbf, 0xc0}) {
          if (a < 0xf0) continue;
          const std::string four = three + static_cast<char>(d);
          REQUIRE(is_utf8(four) == is_utf8_by_round_trip(four));
        }
      }
    }
  }
}

TEST_CASE("random bytes: any pieces give the same valid text, and valid text is unchanged") {
  Random random(20);
  for (int round = 0; round < 2000; ++round) {
    std::string bytes;
    for (int i = 0; i < 12; ++i) bytes += "aZ\x80\xbf\xc3\xa9\xe2\x82\xac\xf0\x9d\xed"[random.next() % 12];
    const std::string text = to_utf8(bytes);
    CAPTURE(in_quotes(bytes));
    REQUIRE(is_utf8(text));
    REQUIRE(to_utf8(text) == text);
    REQUIRE(in_two_pieces(bytes, random.next() % 13) == text);
  }
}

TEST_CASE("flush starts anew, and a copy goes on by itself") {
  Utf8Stream stream;
  std::string text;
  stream.push("\xe2\x82", text);
  Utf8Stream copy = stream;
  stream.flush(text);
  CHECK(text == replacement);
  stream.push("\xac", text);
  CHECK(text == replacement + replacement);
  std::string other;
  copy.push("\xac", other);
  CHECK(other == "€");
}

TEST_CASE("code points are encoded, surrogates and numbers above U+10FFFF refused") {
  std::string text;
  for (const char32_t c : {U'\0', U'\x7f', U'\x80', U'\u07ff', U'\u0800', U'\uffff', U'\U00010000', U'\U0010ffff'}) {
    CHECK(append_utf8(c, text));
  }
  CHECK(text == std::string("\0\x7f\u0080\u07ff\u0800\uffff\U00010000\U0010ffff", 20));
  for (const char32_t c : {0xd800u, 0xdfffu, 0x110000u, 0xffffffffu}) CHECK_FALSE(append_utf8(c, text));
  CHECK(text.size() == 20);
}

TEST_CASE("the character at the front of a text, or its first byte") {
  const auto front = [](std::string_view text) {
    const Utf8Character character = front_character(text);
    return std::pair<char32_t, std::size_t>(character.code_point, character.n_bytes);
  };
  for (char32_t c = 0; c < not_utf8; c += c < 0x3000 ? 1 : 0xfd) {
    std::string text;
    if (append_utf8(c, text)) REQUIRE(front(text + "\xbf!") == std::pair(c, text.size()));
  }
  for (const std::string text :
       {"\x80", "\xbf.", "\xc0\x80", "\xe2\x82", "\xe2\x82.", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xff"}) {
    CAPTURE(in_quotes(text));
    const char32_t first = not_utf8 + static_cast<unsigned char>(text[0]);
    CHECK(front(text) == std::pair(first, std::size_t{1}));
  }
}

TEST_SUITE_END();
