// SPDX-License-Identifier: MIT
#include "rwkv/text/nfc.hpp"

#include <numeric>

#include "rwkv/io/crc32.hpp"
#include "support/support.hpp"

using namespace rwkv;

namespace {

/// The CRC-32 of what `text_of` gives for all code points but surrogates, one a line.
template <class TextOf>
std::uint32_t crc_of_all(const TextOf& text_of) {
  std::string lines;
  for (char32_t c = 0; c < 0x110000; ++c) {
    std::string character;
    if (append_utf8(c, character)) lines += to_nfc(text_of(character)) + "\n";
  }
  return crc32(std::as_bytes(std::span(lines)));
}

}  // namespace

TEST_SUITE_BEGIN("text/nfc");

TEST_CASE("a character and its marks become one character") {
  CHECK(to_nfc("e\u0301 o\u0308 n\u0303 a\u030a") == "é ö ñ å");
  CHECK(to_nfc("\u1112\u1161\u11ab\u1100\u1173\u11af") == "한글");
  CHECK(to_nfc("a\u0323\u0302") == "ậ");
  CHECK(to_nfc("a\u0302\u0323") == "ậ");  // in two steps, after its marks have been sorted
}

TEST_CASE("what has one spelling too many gets the usual one") {
  CHECK(to_nfc("\u212b \u2126 \u1f71 \uf900") == "Å Ω ά 豈");
  CHECK(to_nfc("\u0958") == "\u0915\u093c");  // excluded from composition
  CHECK(to_nfc("\u0344") == "\u0308\u0301");
  CHECK(to_nfc("\U0001d15e") == "\U0001d157\U0001d165");
  CHECK(to_nfc("q\u0307\u0323") == "q\u0323\u0307");
}

TEST_CASE("what is normal stays") {
  const std::string texts[] = {"",       "plain ASCII\n", "naïve café",   "我们",
                               "한국어", "ﬁ ½ ｶﾞ",        "\u1e9b\u0323", "😀\U0010ffff"};
  for (const std::string& text : texts) CHECK(to_nfc(text) == text);
}

TEST_CASE("a mark is blocked by another of its class, and by a character between") {
  CHECK(to_nfc("a\u0300\u0301") == "à\u0301");
  CHECK(to_nfc("ab\u0301") == "ab\u0301");
  CHECK(to_nfc("\u1100\u1161\u0301\u11a8") == "가\u0301\u11a8");
  CHECK(to_nfc("\uac00\u11a7\u11a8") == "\uac00\u11a7\u11a8");  // U+11A7 is no consonant
  CHECK(to_nfc("\u0301\u0301e") == "\u0301\u0301e");
}

TEST_CASE("bytes that are not UTF-8 stay, and nothing is composed across them") {
  CHECK(to_nfc("e\xff\u0301") == "e\xff\u0301");
  CHECK(to_nfc("\xcc\xe2\x82 e\u0301\xcc") == "\xcc\xe2\x82 é\xcc");
  std::string bytes(256, '\0');
  std::iota(bytes.begin(), bytes.end(), static_cast<char>(0));
  CHECK(to_nfc(bytes) == bytes);
}

TEST_CASE("characters that are younger than Unicode 9.0 stay as they are, as in the reference") {
  CHECK(to_nfc("\U00011935\U00011930") == "\U00011935\U00011930");  // since 13.0 it is U+11938
  CHECK(to_nfc("\U00011131\U00011127") == "\U0001112e");            // since 6.1
}

TEST_CASE("all characters, alone and with marks, are normalised as by Hugging Face tokenizers") {
  // The NFC normalizer of tokenizers 0.22.2 (npm @anush008/tokenizers 0.6.0), one code point a line.
  CHECK(crc_of_all([](const std::string& c) { return c; }) == 0x351812cb);
  CHECK(crc_of_all([](const std::string& c) { return "a" + c + "\u0301\u0323"; }) == 0x25490cf8);
}

TEST_CASE("a million marks in a row take no quadratic time") {
  std::string marks = "x";
  for (int i = 0; i < 500000; ++i) marks += "\u0301\u0316";
  const std::string normal = to_nfc(marks);
  REQUIRE(normal.size() == marks.size());
  CHECK(normal.substr(1, 1000000) == to_nfc(normal).substr(1, 1000000));
  CHECK(normal.substr(1, 4) == "\u0316\u0316");
  CHECK(normal.ends_with("\u0301\u0301"));
}

TEST_SUITE_END();
