// SPDX-License-Identifier: MIT
#include "rwkv/text/python_literal.hpp"

#include "rwkv/core/error.hpp"

#include "support/support.hpp"

using namespace rwkv;

namespace {

/// The bytes of a literal, or "refused: " and what was expected.
std::string parse(std::string_view literal) {
  std::string bytes;
  const char* expected = append_python_literal(literal, bytes);
  return expected == nullptr ? bytes : std::string("refused: ") + expected;
}

}  // namespace

TEST_SUITE_BEGIN("text/python_literal");

TEST_CASE("literals mean what they mean in Python") {
  // Expected: ast.literal_eval of Python 3; str encoded as UTF-8.
  struct Case {
    std::string literal, bytes;
  };
  const std::vector<Case> table{
      {R"('')", ""},
      {R"("it's")", "it's"},
      {R"('a "b" c')", "a \"b\" c"},
      {R"('\'\"\\')", "'\"\\"},
      {R"('\t\n\r\a\b\f\v')", "\t\n\r\a\b\f\v"},
      {R"('\0')", std::string(1, '\0')},
      {R"('\x00\x7f')", std::string("\0\x7f", 2)},
      {R"('\x80\xff')", "\u0080\u00ff"},       // a str: code points
      {R"(b'\x80\xff\xFF')", "\x80\xff\xff"},  // bytes: bytes
      {R"('\u20ac\uFEFF')", "\u20ac\ufeff"},
      {R"('\U0001d11e')", "\U0001d11e"},
      {"'€ \u00e9'", "€ \u00e9"},
      {R"(b"'")", "'"},
  };
  for (const Case& c : table) {
    CAPTURE(c.literal);
    CHECK(parse(c.literal) == c.bytes);
  }
}

TEST_CASE("everything else is refused with the reason") {
  struct Case {
    std::string literal, reason;
  };
  const std::vector<Case> table{
      {"", "a quoted"},
      {"b", "a quoted"},
      {"abc", "a quoted"},
      {"__import__('os')", "a quoted"},
      {"r'a'", "a quoted"},
      {"u'a'", "a quoted"},
      {"B'a'", "a quoted"},
      {"('a')", "a quoted"},
      {"'", "a closing quote"},
      {"'a", "a closing quote"},
      {"'a\"", "a closing quote"},
      {R"('a\')", "a closing quote"},
      {"'a'b", "nothing after"},
      {"'a' 'b'", "nothing after"},
      {"'a'+'b'", "nothing after"},
      {R"('\)", "one of the escapes"},
      {R"('\xZZ')", "one of the escapes"},
      {R"('\x1')", "one of the escapes"},
      {R"('\x+1')", "one of the escapes"},
      {R"('\u12')", "one of the escapes"},
      {R"('\N{DASH}')", "one of the escapes"},
      {R"('\q')", "one of the escapes"},
      {R"('\1')", "one of the escapes"},
      {R"('\01')", "no octal"},
      {R"(b'\u0041')", "one of the escapes"},
      {R"('\ud800')", "a code point"},
      {R"('\U00110000')", "a code point"},
      {"b'\u00e9'", "only ASCII"},
      {"'\xff'", "UTF-8"},
      {"'\t'", "no raw control"},
      {std::string("'\0'", 3), "no raw control"},
  };
  for (const Case& c : table) {
    CAPTURE(in_quotes(c.literal));
    CHECK_MESSAGE(parse(c.literal).starts_with("refused: " + c.reason), parse(c.literal));
  }
}

TEST_SUITE_END();
