// SPDX-License-Identifier: MIT
#include "rwkv/text/byte_alphabet.hpp"

#include "support/support.hpp"

using namespace rwkv;

TEST_SUITE_BEGIN("text/byte_alphabet");

TEST_CASE("every byte has a character of its own, and can be had back from it") {
  for (std::size_t byte = 0; byte < 256; ++byte) {
    std::string character, bytes = "x";
    REQUIRE(append_utf8(byte_alphabet[byte], character));
    REQUIRE(append_from_byte_alphabet(character, bytes));
    CHECK(bytes == std::string("x") + static_cast<char>(static_cast<unsigned char>(byte)));
  }
}

TEST_CASE("what is printable stands for itself, and the rest follows in order") {
  for (const char c : std::string("!Az~"))
    CHECK(byte_alphabet[static_cast<std::size_t>(c)] == static_cast<char32_t>(c));
  CHECK(byte_alphabet[0xe9] == U'é');
  CHECK(byte_alphabet[0] == 0x100);
  CHECK(byte_alphabet[' '] == U'Ġ');
  CHECK(byte_alphabet['\n'] == U'Ċ');
  CHECK(byte_alphabet[0x7f] == 0x121);
  CHECK(byte_alphabet[0xa0] == 0x142);
  CHECK(byte_alphabet[0xad] == 0x143);
}

TEST_CASE("a text with other characters stands for no bytes") {
  std::string bytes = "x";
  for (const char* text : {" ", "a b", "Ġa\n", "a\u0144", "a\u00ad", "€"})
    CHECK_FALSE(append_from_byte_alphabet(text, bytes));
  CHECK(bytes == "x");
  CHECK(append_from_byte_alphabet("Ġaâ\u0124¬", bytes));
  CHECK(bytes == "x a\xe2\x82\xac");
  CHECK(append_from_byte_alphabet("", bytes));
}

TEST_SUITE_END();
