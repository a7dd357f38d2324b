// SPDX-License-Identifier: MIT
#include "rwkv/text/character_kind.hpp"

#include "rwkv/io/crc32.hpp"
#include "support/support.hpp"

using namespace rwkv;
using namespace std::string_view_literals;

TEST_SUITE_BEGIN("text/character_kind");

TEST_CASE("letters, numbers, white space, and all else") {
  for (const char32_t c : U"azAZªéßжא字한ǅʰ𝔘"sv) CHECK(character_kind(c) == CharacterKind::letter);
  for (const char32_t c : U"09²½Ⅷ①٣𝟘"sv) CHECK(character_kind(c) == CharacterKind::number);
  for (const char32_t c : U"\t\n\v\f\r \u0085\u00a0\u1680\u2000\u200a\u2028\u2029\u202f\u205f\u3000"sv)
    CHECK(character_kind(c) == CharacterKind::white_space);
  for (const char32_t c : U"\0\1\x1f!_~\x7f\u0301\u180e\u200b\u2060\ufeff€😀\U0010ffff"sv)
    CHECK(character_kind(c) == CharacterKind::other);
  CHECK(character_kind(0x110000) == CharacterKind::other);
  CHECK(character_kind(0xffffffff) == CharacterKind::other);
}

TEST_CASE("all code points have the kind they have in Hugging Face tokenizers") {
  // The ByteLevel pre-tokenizer of tokenizers 0.22.2 (npm @anush008/tokenizers 0.6.0) was asked for each code point but
  // surrogates whether it stays in one piece with "a", with "1", or with "!"; S is what does with none of them.
  std::string kinds;
  for (char32_t c = 0; c < 0x110000; ++c) {
    if (c < 0xd800 || c >= 0xe000) kinds += "OLNS"[static_cast<int>(character_kind(c))];
  }
  CHECK(std::count(kinds.begin(), kinds.end(), 'L') == 141028);
  CHECK(std::count(kinds.begin(), kinds.end(), 'N') == 1911);
  CHECK(std::count(kinds.begin(), kinds.end(), 'S') == 25);
  CHECK(crc32(std::as_bytes(std::span(kinds))) == 0xd6cce9c8);
}

TEST_SUITE_END();
