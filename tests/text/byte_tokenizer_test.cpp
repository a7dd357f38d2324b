// SPDX-License-Identifier: MIT
#include "rwkv/text/byte_tokenizer.hpp"

#include "support/support.hpp"

using namespace rwkv;

TEST_SUITE_BEGIN("text/byte_tokenizer");

TEST_CASE("every byte is its own token, and comes back") {
  const ByteTokenizer tokenizer;
  CHECK(tokenizer.n_vocab() == 256);
  std::string all;
  for (int byte = 0; byte < 256; ++byte) all += static_cast<char>(byte);
  const std::vector<Token> tokens = tokenizer.encode(all);
  REQUIRE(tokens.size() == 256);
  std::string text;
  for (Token token = 0; token < 256; ++token) {
    CHECK(tokens[static_cast<std::size_t>(token)] == token);
    text += tokenizer.bytes(token);
  }
  CHECK(text == all);
}

TEST_CASE("ids that do not exist have no bytes, and no text has no tokens") {
  const ByteTokenizer tokenizer;
  for (const Token token : {-1, 256, std::numeric_limits<Token>::min(), std::numeric_limits<Token>::max()}) {
    CHECK(tokenizer.bytes(token).empty());
  }
  CHECK(tokenizer.encode("").empty());
}

TEST_CASE("the prompt of the rwkv.cpp test") {
  CHECK(ByteTokenizer().encode("\"in") == std::vector<Token>{34, 105, 110});
}

TEST_SUITE_END();
