// SPDX-License-Identifier: MIT
#include "rwkv/eval/tasks.hpp"

#include "support/support.hpp"
#include "text/byte_vocabulary.hpp"

using namespace rwkv;

namespace {

std::vector<Token> numbers(Index n) {
  std::vector<Token> tokens;
  for (Token i = 0; i < n; ++i) tokens.push_back(i);
  return tokens;
}

}  // namespace

TEST_SUITE_BEGIN("eval/tasks");

TEST_CASE("windows score every token but the first once, with enough before it") {
  for (const Index n : {2, 3, 7, 8, 9, 100}) {
    for (const auto& sizes : {std::pair<Index, Index>{0, 0}, {2, 1}, {8, 4}, {8, 7}, {8, 1}, {50, 20}}) {
      const Index length = sizes.first, stride = sizes.second;
      CAPTURE(n);
      CAPTURE(length);
      CAPTURE(stride);
      const std::vector<Token> tokens = numbers(n);
      std::vector<int> n_scored(static_cast<std::size_t>(n));
      for (const Passage& window : windows(tokens, length, stride)) {
        CHECK((length == 0 || std::ssize(window.tokens) <= length));
        const Token first = window.tokens.front();
        CHECK(window.tokens ==
              std::vector<Token>(tokens.begin() + first, tokens.begin() + first + std::ssize(window.tokens)));
        CHECK((first == 0 ? window.n_given == 1 : window.n_given == length - stride));
        for (auto i = static_cast<std::size_t>(window.n_given); i < window.tokens.size(); ++i) {
          ++n_scored[static_cast<std::size_t>(window.tokens[i])];
        }
      }
      std::vector<int> once(static_cast<std::size_t>(n), 1);
      once[0] = 0;
      CHECK(n_scored == once);
    }
  }
  CHECK(windows(numbers(1)).empty());
  CHECK(windows({}).empty());
}

TEST_CASE("windows that do not move or leave gaps are refused") {
  const std::vector<Token> tokens = numbers(10);
  CHECK_THROWS_WITH_AS((void)windows(tokens, 4, 0), doctest::Contains("found stride 0, length 4"), ArgumentError);
  CHECK_THROWS_AS((void)windows(tokens, 4, 4), ArgumentError);
  CHECK_THROWS_AS((void)windows(tokens, 1, 1), ArgumentError);
  CHECK_THROWS_AS((void)windows(tokens, -4, 1), ArgumentError);
}

TEST_CASE("LAMBADA: the end-of-text token, the context, and the last word with its space") {
  const Tokenizer world(WorldTokenizer::from_text(rwkv_test::byte_vocabulary() + "257 ' dog' 4\n", "test"));
  const Passage passage = lambada_passage("a c dog", world);
  CHECK(passage.tokens == std::vector<Token>{0, 'a' + 1, ' ' + 1, 'c' + 1, 257});
  CHECK(passage.n_given == 4);
  CHECK(n_scored_bytes(passage, world) == 4);
  CHECK_THROWS_WITH_AS((void)lambada_passage("dog", world), doctest::Contains("two words"), ArgumentError);
  for (const char* const text : {"a c dog ", "a c dog\n", "a c dog \r\n\t "}) {
    CHECK(lambada_passage(text, world).tokens == passage.tokens);
    CHECK(lambada_passage(text, world).n_given == passage.n_given);
  }
  CHECK(lambada_passage("a c  dog", world).n_given == 5);                   // only one space is that of the word
  CHECK(lambada_passage("a c\n\nx dog", world).n_given == 7);               // as any other before it
  CHECK(n_scored_bytes(lambada_passage("a c\n\ndog", world), world) == 7);  // the published texts have such words
  for (const char* const text : {"", " ", " \n ", " dog", "\n dog", "dog ", "a\nc"}) {
    CAPTURE(text);
    CHECK_THROWS_WITH_AS((void)lambada_passage(text, world), doctest::Contains("two words"), ArgumentError);
  }
  const Tokenizer bytes(ByteTokenizer{});  // has no end-of-text token
  CHECK(lambada_passage("a b", bytes).tokens == std::vector<Token>{'a', ' ', 'b'});
  CHECK_THROWS_WITH_AS((void)continuation("", "b", bytes), doctest::Contains("context"), ArgumentError);
  CHECK_THROWS_WITH_AS((void)continuation("a", "", bytes), doctest::Contains("continuation"), ArgumentError);
  CHECK(continuation("", "b", world).tokens == std::vector<Token>{0, 'b' + 1});
}

TEST_CASE("figures by hand") {
  TextScore text{-4 * std::log(2.0), 2, 8};
  CHECK(text.perplexity() == doctest::Approx(4));
  CHECK(text.bits_per_byte() == doctest::Approx(0.5));
  text += {-4 * std::log(2.0), 2, 0};
  CHECK(text.bits_per_byte() == doctest::Approx(1));

  LambadaResult lambada;
  lambada.add(-1, true);
  lambada.add(-3, false);
  CHECK(lambada.accuracy() == 0.5);
  CHECK(lambada.perplexity() == doctest::Approx(std::exp(2.0)));

  ChoiceResult choice;
  choice.add(std::vector<double>{-6, -5}, std::vector<Index>{12, 5}, 0);  // -0.5 and -1 per byte
  choice.add(std::vector<double>{-6, -5}, std::vector<Index>{6, 5}, 1);   // -1 and -1: the first
  choice.add(std::vector<double>{-5, -5, -7}, std::vector<Index>{5, 4, 5}, 0);
  CHECK(choice.n == 3);
  CHECK(choice.n_correct == 2);
  CHECK(choice.n_correct_normalised == 2);
  CHECK(TextScore{}.perplexity() == 1);
  CHECK(LambadaResult{}.accuracy() == 0);
  CHECK(ChoiceResult{}.accuracy() == 0);
}

TEST_SUITE_END();
