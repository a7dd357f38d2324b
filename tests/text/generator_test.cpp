// SPDX-License-Identifier: MIT
#include "rwkv/text/generator.hpp"

#include "rwkv/arch/init.hpp"
#include "support/support.hpp"

using namespace rwkv;

namespace {

/// A model of noise over bytes: what it says has no meaning, but it is always the same.
Model noise() {
  static const Model model(synthetic({Generation::v4, 2, 32, 32, 64, 0, 0, 256}, DType::f32, 42));
  return model;
}

const SamplerOptions everything{.top_p = 1.0};

struct Fixture {
  Workspace workspace{{1}};
  Generator generator{noise(), Tokenizer(ByteTokenizer()), workspace, everything, 9};
};

/// The state of the model after reading a text.
State state_after(const std::string& text) {
  Workspace workspace({1});
  auto state = noise().new_state();
  for (const Token token : ByteTokenizer().encode(text))
    static_cast<void>(noise().forward(std::span(&token, 1), state, workspace));
  return state;
}

double difference(const State& a, const State& b) { return rwkv_test::max_abs_difference(a.values(), b.values()); }

}  // namespace

TEST_SUITE_BEGIN("text/generator");

TEST_CASE("the same seed writes the same text, and the state has read exactly what is there") {
  Fixture first, second;
  first.generator.read("Once");
  second.generator.read("Once");
  std::string shown;
  const Generated a = first.generator.generate({.max_tokens = 50}, [&](std::string_view text) {
    shown += text;
    return true;
  });
  const Generated b = second.generator.generate({.max_tokens = 50});
  CHECK(a.text == b.text);
  CHECK(a.text.size() == 50);
  CHECK(a.n_tokens == 50);
  CHECK(a.reason == StopReason::length);
  CHECK(is_utf8(shown));
  CHECK(shown == to_utf8(a.text));
  // Prompts are read as one product and tokens one by one, so the last bits may differ.
  CHECK(difference(first.generator.state(), state_after("Once" + a.text)) < 1e-4);
}

TEST_CASE("a stop text is not shown, and the state is rewound to just before it") {
  Fixture free;
  free.generator.read("Once");
  const std::string whole = free.generator.generate({.max_tokens = 60}).text;
  // Every substring of the text is a stop text that does come, and crosses the borders of the tokens, which are
  // bytes.
  for (std::size_t first = 0; first + 4 <= whole.size(); first += 3) {
    for (const std::size_t length : {1, 2, 4}) {
      const std::string stop = whole.substr(first, length);
      const std::size_t expected = whole.find(stop);
      Fixture fixture;
      fixture.generator.read("Once");
      std::string shown;
      const Generated result =
          fixture.generator.generate({.max_tokens = 60, .stops = {stop}}, [&](std::string_view text) {
            shown += text;
            return true;
          });
      CAPTURE(first);
      CAPTURE(length);
      CHECK(result.reason == StopReason::stop_text);
      CHECK(result.text == whole.substr(0, expected));
      CHECK(to_utf8(result.text).starts_with(shown));
      CHECK(difference(fixture.generator.state(), state_after("Once" + result.text)) < 1e-4);
    }
  }
}

TEST_CASE("a stop inside a token of several bytes keeps the bytes before it") {
  // A vocabulary whose only long token is "ab|cd"; the model is made to draw it by banning everything else.
  std::string vocabulary;
  for (int byte = 0; byte < 256; ++byte) {
    constexpr char hex[] = "0123456789abcdef";
    vocabulary += std::to_string(byte + 1) + " b'\\x" + hex[byte / 16] + hex[byte % 16] + "' 1\n";
  }
  vocabulary += "257 'ab|cd' 5\n";
  const Tokenizer tokenizer(WorldTokenizer::from_text(vocabulary, "test"));
  const Model model(synthetic({Generation::v4, 1, 16, 16, 32, 0, 0, 258}, DType::f32, 1));
  SamplerOptions options;
  for (Token token = 0; token < 257; ++token) options.banned.push_back(token);
  Workspace workspace({1});
  Generator generator(model, tokenizer, workspace, options), expected(model, tokenizer, workspace, options);
  generator.read("x");
  const Generated result = generator.generate({.max_tokens = 3, .stops = {"|"}});
  CHECK(result.text == "ab");
  expected.read("x");
  expected.read("ab");
  CHECK(generator.state() == expected.state());
  // and a stop that begins in one token and ends in the next
  Generator crossing(model, tokenizer, workspace, options);
  crossing.read("x");
  CHECK(crossing.generate({.max_tokens = 3, .stops = {"cdab"}}).text == "ab|");
  expected.read("|");
  CHECK(difference(crossing.state(), expected.state()) < 1e-5);
}

TEST_CASE("stop tokens end the text and are not read") {
  Fixture free;
  free.generator.read("Once");
  const std::string whole = free.generator.generate({.max_tokens = 10}).text;
  const auto stop = static_cast<Token>(static_cast<unsigned char>(whole[5]));
  Fixture fixture;
  fixture.generator.read("Once");
  const Generated result = fixture.generator.generate({.max_tokens = 10, .stop_tokens = {stop}});
  CHECK(result.reason == StopReason::stop_token);
  CHECK(result.text == whole.substr(0, whole.find(whole[5])));
  CHECK(difference(fixture.generator.state(), state_after("Once" + result.text)) < 1e-4);
}

TEST_CASE("a callback can cancel, and generation can go on from there") {
  Fixture whole, parts;
  whole.generator.read("Once");
  parts.generator.read("Once");
  int n_calls = 0;
  const Generated first =
      parts.generator.generate({.max_tokens = 100}, [&](std::string_view) { return ++n_calls < 5; });
  CHECK(first.reason == StopReason::cancelled);
  CHECK(n_calls == 5);
  CHECK(difference(parts.generator.state(), state_after("Once" + first.text)) < 1e-4);
  const Generated second = parts.generator.generate({.max_tokens = 20});
  CHECK(first.text + second.text == whole.generator.generate({.max_tokens = first.n_tokens + 20}).text);
}

TEST_CASE("reading a prompt reports progress and can be cancelled") {
  Fixture fixture;
  const std::vector<Token> prompt(1000, 65);
  std::vector<Index> progress;
  CHECK(fixture.generator.read(prompt, [&](Index n) {
    progress.push_back(n);
    return true;
  }));
  CHECK(progress == std::vector<Index>{256, 512, 768, 1000});
  CHECK_FALSE(fixture.generator.read(prompt, [](Index) { return false; }));
}

TEST_CASE("nothing to continue is an error, and so is a token of another vocabulary") {
  Fixture fixture;
  CHECK_THROWS_WITH_AS(fixture.generator.generate(), doctest::Contains("nothing to continue"), ArgumentError);
  const std::vector<Token> foreign{256};
  CHECK_THROWS_WITH_AS(fixture.generator.read(foreign), doctest::Contains("found 256"), ArgumentError);
}
TEST_SUITE_END();
