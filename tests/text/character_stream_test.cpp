// SPDX-License-Identifier: MIT
#include "rwkv/text/character_stream.hpp"

#include <vector>

#include "support/support.hpp"

using namespace rwkv;

TEST_SUITE_BEGIN("text/character_stream");

TEST_CASE("a text that grows byte by byte is shown in whole characters") {
  const std::string text = "aé✿\xff";
  std::vector<std::string> pieces;
  const auto keep = [&pieces](std::string_view piece) {
    pieces.emplace_back(piece);
    return true;
  };
  CharacterStream stream(keep);
  for (std::size_t n = 0; n <= text.size(); ++n) stream.show(std::string_view(text).substr(0, n));
  stream.end();
  CHECK(pieces == std::vector<std::string>{"a", "é", "✿", "\uFFFD"});
  CHECK(stream.is_wanted());
}

TEST_CASE("the end may be in the middle of a character") {
  std::string all;
  const auto keep = [&all](std::string_view piece) {
    all += piece;
    return true;
  };
  CharacterStream stream(keep);
  stream.show("a\xe2\x9c");
  CHECK(all == "a");
  stream.end();
  CHECK(all == "a\uFFFD");
}

TEST_CASE("nothing is shown to who does not want it") {
  int n_calls = 0;
  const auto stop = [&n_calls](std::string_view) { return ++n_calls < 2; };
  CharacterStream stream(stop);
  stream.show("a");
  CHECK(stream.is_wanted());
  stream.show("ab");
  CHECK_FALSE(stream.is_wanted());
  stream.show("abc\xe2");
  stream.end();
  CHECK(n_calls == 2);
}

TEST_SUITE_END();
