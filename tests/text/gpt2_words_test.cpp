// SPDX-License-Identifier: MIT
#include "rwkv/text/gpt2_words.hpp"

#include "support/support.hpp"

using namespace rwkv;

namespace {

/// The words of a text with a bar after each.
std::string split(std::string_view text) {
  std::string words;
  while (!text.empty()) {
    const std::string_view word = first_gpt2_word(text);
    REQUIRE((!word.empty() && text.starts_with(word)));
    words += std::string(word) + "|";
    text.remove_prefix(word.size());
  }
  return words;
}

/// The regular expression taken literally, for texts of one byte a character: alternatives in order, each as long as it
/// can be, and shorter where the rest of it does not match.
std::size_t length_by_definition(std::string_view text) {
  for (const std::string_view ending : {"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"}) {
    if (text.starts_with(ending)) return ending.size();
  }
  const auto run = [text](std::size_t begin, const std::string& characters) {
    return std::min(text.find_first_not_of(characters, begin), text.size()) - begin;
  };
  const std::string letters = "aest", numbers = "12", others = "'.\xff", spaces = " \n\t";
  for (const std::string& characters : {letters, numbers, others}) {
    const std::size_t space = text.starts_with(' ') ? 1 : 0;
    if (const std::size_t n = run(space, characters); n > 0) return space + n;
    if (const std::size_t n = run(0, characters); n > 0) return n;
  }
  for (std::size_t n = run(0, spaces); n > 0; --n) {
    if (n == text.size() || spaces.find(text[n]) != std::string::npos) return n;
  }
  return run(0, spaces);
}

}  // namespace

TEST_SUITE_BEGIN("text/gpt2_words");

TEST_CASE("letters, numbers and all else are words, with a space before them") {
  CHECK(split("Hello, world! 3.14 x2") == "Hello|,| world|!| 3|.|14| x|2|");
  CHECK(split("a\u0301b") == "a|\u0301|b|");  // a mark is no letter
  CHECK(split(" 我们，世界 ½x") == " 我们|，|世界| ½|x|");
  CHECK(split("😀 😀") == "😀| 😀|");
}

TEST_CASE("English contractions, in lower case and with the straight apostrophe") {
  CHECK(split("I'm can't they'll we've you'd it's you're") ==
        "I|'m| can|'t| they|'ll| we|'ve| you|'d| it|'s| you|'re|");
  CHECK(split("I'M it’s 's ''s o'neill 'll'") == "I|'|M| it|’|s| '|s| ''|s| o|'|neill| '|ll|'|");
  CHECK(split("'salt") == "'s|alt|");
}

TEST_CASE("white space leaves its last character to the next word") {
  CHECK(split("a  b   c\n\nd\n\n") == "a| | b|  | c|\n|\n|d|\n\n|");
  CHECK(split("   ") == "   |");
  CHECK(split(" \n a") == " \n| a|");
  CHECK(split("\ta \t") == "\t|a| \t|");
  CHECK(split("a\u3000\u2003b\u00a0") == "a|\u3000|\u2003|b|\u00a0|");
}

TEST_CASE("bytes that are not UTF-8 are words with other signs") {
  CHECK(split("a\xff\xfe! \x80\xe2\x82z") == "a|\xff\xfe!| \x80\xe2\x82|z|");
}

TEST_CASE("every short text is split as the regular expression says") {
  const std::string characters = "aest12'.\xff \n\t";
  Random random(5);
  for (int round = 0; round < 20000; ++round) {
    std::string text(1 + random.next() % 8, ' ');
    for (char& c : text) c = characters[random.next() % characters.size()];
    CAPTURE(text);
    REQUIRE(first_gpt2_word(text).size() == length_by_definition(text));
  }
}

TEST_SUITE_END();
