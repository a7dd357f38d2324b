// SPDX-License-Identifier: MIT
#include "rwkv/text/banned_strings.hpp"

#include <set>

#include "rwkv/text/sampler.hpp"
#include "support/support.hpp"
#include "text/byte_vocabulary.hpp"

using namespace rwkv;
using namespace rwkv_test;

namespace {

/// The bytes, and all words of two and three letters a and b: 257..268.
Tokenizer small_tokenizer() {
  std::vector<std::string> words{"a", "b"};
  std::string text = byte_vocabulary();
  for (std::size_t i = 0; words[i].size() < 3; ++i) {
    for (const char letter : {'a', 'b'}) {
      words.push_back(words[i] + letter);
      text +=
          std::to_string(254 + words.size()) + " '" + words.back() + "' " + std::to_string(words.back().size()) + "\n";
    }
  }
  return Tokenizer(WorldTokenizer::from_text(text, "small"));
}

/// a, b, c and these words.
std::vector<Token> used_tokens() {
  std::vector<Token> tokens{'a' + 1, 'b' + 1, 'c' + 1};
  for (Token token = 257; token <= 268; ++token) tokens.push_back(token);
  return tokens;
}

}  // namespace

TEST_SUITE_BEGIN("text/banned_strings");

TEST_CASE("the tokens told are exactly those that complete a text, at any cut") {
  const Tokenizer tokenizer = small_tokenizer();
  for (const std::vector<std::string>& texts :
       {std::vector<std::string>{"ab"}, {"aab"}, {"abba", "cc"}, {"aaaa"}, {"b"}, {"abaabaab", "bb"}}) {
    CAPTURE(texts[0]);
    BannedStrings banned(texts, tokenizer);
    Random random(3);
    std::string generated;
    for (int i = 0; i < 2000; ++i) {
      std::set<Token> expected, found;
      for (Token token = 0; token < tokenizer.n_vocab(); ++token) {
        const std::string all = generated + std::string(tokenizer.bytes(token));
        const auto completes = [&](const std::string& text) { return all.find(text) != all.npos; };
        if (std::ranges::any_of(texts, completes)) expected.insert(token);
      }
      banned.for_each_completing([&](Token token) { found.insert(token); });
      REQUIRE(found == expected);
      Token token = 0;
      do {
        token = used_tokens()[random.next() % used_tokens().size()];
      } while (found.contains(token));
      banned.accept(token);
      generated += tokenizer.bytes(token);
      if (i % 100 == 99) {
        banned.reset();
        generated.clear();
      }
    }
  }
}

TEST_CASE("a copy goes its own way") {
  const Tokenizer tokenizer(ByteTokenizer{});
  const std::vector<std::string> texts{"xy"};
  BannedStrings a(texts, tokenizer);
  BannedStrings b = a;
  a.accept('x');
  int n_a = 0, n_b = 0;
  a.for_each_completing([&](Token) { ++n_a; });
  b.for_each_completing([&](Token) { ++n_b; });
  CHECK(n_a == 1);
  CHECK(n_b == 0);
}

TEST_CASE("a sampler never completes a banned text, across the borders of tokens") {
  const Tokenizer tokenizer = small_tokenizer();
  Sampler sampler({.top_p = 1, .banned_strings = {"abab", "bbb", "ca"}}, 1);
  sampler.set_tokenizer(tokenizer);
  std::vector<float> logits(static_cast<std::size_t>(tokenizer.n_vocab()) - 2, -std::numeric_limits<float>::infinity());
  for (const Token token : used_tokens()) {
    if (static_cast<std::size_t>(token) < logits.size()) logits[static_cast<std::size_t>(token)] = 0;
  }
  std::string text;
  for (int i = 0; i < 5000; ++i) {
    const Token token = sampler.sample(logits);
    sampler.accept(token);
    text += tokenizer.bytes(token);
  }
  for (const char* banned : {"abab", "bbb", "ca"}) CHECK(text.find(banned) == text.npos);
  for (const char* other : {"aba", "bb", "cb", "cc", "aaaa"}) CHECK(text.find(other) != text.npos);
}

TEST_CASE("an empty text is refused") {
  const std::vector<std::string> texts{"a", ""};
  CHECK_THROWS_WITH_AS(BannedStrings(texts, small_tokenizer()), doctest::Contains("banned string: is empty"),
                       ArgumentError);
}

TEST_SUITE_END();
