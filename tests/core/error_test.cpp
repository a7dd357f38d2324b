// SPDX-License-Identifier: MIT
#include "rwkv/core/error.hpp"

#include "support/support.hpp"

using namespace rwkv;

TEST_SUITE_BEGIN("core/error");

TEST_CASE("a message tells where, what, expected, found and hint") {
  const ModelError error({.path = "model.pth",
                          .item = tensor_item("blocks.0.att.key.weight"),
                          .expected = "shape [1024, 1024]",
                          .found = "[768, 1024]",
                          .hint = "Is this a LoRA instead of a merged model?"});
  CHECK(std::string(error.what()) ==
        "model.pth: tensor 'blocks.0.att.key.weight': expected shape [1024, 1024], found [768, 1024]. Is this a LoRA "
        "instead of a "
        "merged model?");
  CHECK(error.details().path == "model.pth");
}

TEST_CASE("parts that are not there leave no trace") {
  CHECK(message({.path = "a", .problem = "is missing"}) == "a: is missing");
  CHECK(message({.item = "x", .found = "3"}) == "x: found 3");
  CHECK(message({.item = "x", .expected = "2"}) == "x: expected 2");
}

TEST_CASE("names from files cannot fake output or flood it") {
  CHECK(in_quotes("a\nb\x1b[31m") == "'a\\x0ab\\x1b[31m'");
  CHECK(in_quotes(std::string(1000, 'x')).size() < 130);
  CHECK(message({.path = "a\nb"}) == "a\\x0ab");
}

TEST_CASE("long names are cut between characters") {
  const std::string bear = "\xf0\x9f\x90\xbb", umlaut = "\xc3\xa4";
  for (std::size_t n = 116; n <= 120; ++n) {
    CAPTURE(n);
    const std::string start(n, 'x');
    CHECK(in_quotes(start + bear) == "'" + start + (n + 4 <= 120 ? bear + "'" : "...'"));
    CHECK(in_quotes(start + umlaut + "y") == "'" + start +
                                                 (n + 3 <= 120   ? umlaut + "y'"
                                                  : n + 2 <= 120 ? umlaut + "...'"
                                                                 : "...'"));
  }
  CHECK(first_characters("abc", 0) == "");
  CHECK(first_characters("abc", 3) == "abc");
  CHECK(first_characters(bear, 0) == "");
  CHECK(first_characters(std::string(9, '\x80'), 5).size() == 5);  // no UTF-8
}

TEST_CASE("every kind is an Error and a std::runtime_error") {
  CHECK_THROWS_AS(throw IoError(ErrorDetails{}), Error);
  CHECK_THROWS_AS(throw FormatError(ErrorDetails{}), Error);
  CHECK_THROWS_AS(throw UnsupportedError(ErrorDetails{}), Error);
  CHECK_THROWS_AS(throw ArgumentError(ErrorDetails{}), std::runtime_error);
  CHECK_THROWS_AS(RWKV_ASSERT(1 == 2), std::logic_error);
}

TEST_SUITE_END();
