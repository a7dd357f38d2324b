// SPDX-License-Identifier: MIT
#include "rwkv/text/generator.hpp"

#include "rwkv/arch/synthetic.hpp"
#include "support/support.hpp"
#include "text/byte_vocabulary.hpp"

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

TEST_CASE("with guesses the text and the state are the same, in fewer passes") {
  const std::string song = "la la la la, la la la la, la la la la, ";
  for (const Index lookup : {1, 3, 8}) {
    for (const double temperature : {0.0, 1.0}) {
      CAPTURE(lookup);
      CAPTURE(temperature);
      Workspace workspace({1});
      SamplerOptions sampling = everything;
      sampling.temperature = temperature;
      Generator plain(noise(), Tokenizer(ByteTokenizer()), workspace, sampling, 9);
      Generator guessing(noise(), Tokenizer(ByteTokenizer()), workspace, sampling, 9);
      plain.read(song);
      guessing.read(song);
      for (int turn = 0; turn < 3; ++turn) {
        const Generated a = plain.generate({.max_tokens = 60});
        const Generated b = guessing.generate({.max_tokens = 60, .lookup = lookup});
        CHECK(a.text == b.text);
        CHECK(a.n_passes == a.n_tokens);
        CHECK(b.n_tokens == a.n_tokens);
        CHECK(b.n_passes <= b.n_tokens);
        CHECK(difference(plain.state(), guessing.state()) < 1e-4);
        // The greedy text of a small model soon runs in circles.
        if (temperature == 0.0 && turn == 2 && lookup == 8) CHECK(2 * b.n_passes < b.n_tokens);
      }
    }
  }
}

TEST_CASE("guesses and stop texts: the state is rewound to just before the stop") {
  Workspace workspace({1});
  Generator plain(noise(), Tokenizer(ByteTokenizer()), workspace, {.temperature = 0}, 1);
  Generator guessing(noise(), Tokenizer(ByteTokenizer()), workspace, {.temperature = 0}, 1);
  plain.read("abcabcabc");
  guessing.read("abcabcabc");
  const std::string text = plain.generate({.max_tokens = 80}).text;
  for (const std::size_t at : {20u, 40u, 70u}) {
    const std::string stop = text.substr(at, 3);
    guessing.set_state(noise().new_state());
    guessing.read("abcabcabc");
    const Generated result = guessing.generate({.max_tokens = 80, .stops = {stop}, .lookup = 6});
    CHECK(result.reason == StopReason::stop_text);
    CHECK(result.text == text.substr(0, text.find(stop)));
    CHECK(difference(guessing.state(), state_after("abcabcabc" + result.text)) < 1e-4);
  }
}

TEST_CASE("after an exception the state is that of the text, without guesses") {
  Workspace workspace({1});
  Generator generator(noise(), Tokenizer(ByteTokenizer()), workspace, {.temperature = 0}, 1);
  const std::string song = "abcabcabcabc";
  struct Stop {};
  bool was_ahead = false;
  for (int n_pieces = 1; n_pieces < 30; ++n_pieces) {
    generator.set_state(noise().new_state());
    generator.read(song);
    int n = 0;
    std::string shown;
    const auto on_text = [&](std::string_view text) {
      shown += text;
      if (++n < n_pieces) return true;
      const std::span<const Token> tokens = generator.generated();
      const std::string text_so_far = song + generator.tokenizer().decode({tokens.begin(), tokens.end()});
      was_ahead = was_ahead || difference(generator.state(), state_after(text_so_far)) > 1e-4;
      throw Stop();
    };
    CHECK_THROWS_AS(generator.generate({.max_tokens = 80, .lookup = 6}, on_text), Stop);
    const std::span<const Token> tokens = generator.generated();
    const std::string text = song + generator.tokenizer().decode({tokens.begin(), tokens.end()});
    CHECK(difference(generator.state(), state_after(text)) < 1e-4);
  }
  CHECK(was_ahead);  // or else nothing was tested
}

TEST_CASE("a stop text is not shown, and the state is rewound to just before it") {
  Fixture free;
  free.generator.read("Once");
  const std::string whole = free.generator.generate({.max_tokens = 60}).text;
  // Every substring of the text is a stop text that does come, and crosses the borders of the tokens, which are
  // bytes.
  for (std::size_t first = 0; first + 4 <= whole.size(); first += 3) {
    for (std::size_t length = 1; length <= 4; length *= 2) {
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
      CHECK(shown == to_utf8(result.text));
      CHECK(difference(fixture.generator.state(), state_after("Once" + result.text)) < 1e-4);
    }
  }
}

TEST_CASE("a stop inside a token of several bytes keeps the bytes before it") {
  // A vocabulary whose only long token is "ab|cd"; the model is made to draw it by banning everything else.
  const Tokenizer tokenizer(WorldTokenizer::from_text(rwkv_test::byte_vocabulary() + "257 'ab|cd' 5\n", "test"));
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

TEST_CASE("text that is held back at the end is shown after all") {
  // Only 'a' can be drawn, and the stop text begins with it: something is always held back.
  SamplerOptions only_a;
  for (Token token = 0; token < 256; ++token) {
    if (token != 'a') only_a.banned.push_back(token);
  }
  Workspace workspace({1});
  Generator generator(noise(), Tokenizer(ByteTokenizer()), workspace, only_a);
  generator.read("x");
  std::string shown;
  const Generated result = generator.generate({.max_tokens = 50, .stops = {"aab"}}, [&](std::string_view text) {
    shown += text;
    return true;
  });
  CHECK(result.text == std::string(50, 'a'));
  CHECK(shown == result.text);
  CHECK(difference(generator.state(), state_after("x" + result.text)) < 1e-4);
}

TEST_CASE("tokens without text are never drawn, and the end of text ends it") {
  // Ids 1 to 256 are bytes, 257 to 299 have no text, 300 is long.
  const Tokenizer tokenizer(WorldTokenizer::from_text(rwkv_test::byte_vocabulary() + "300 'long' 4\n", "test"));
  const Model model(synthetic({Generation::v4, 1, 16, 16, 32, 0, 0, 301}, DType::f32, 1));
  SamplerOptions options{.temperature = 10, .top_p = 1};  // nearly a coin for the two that are left
  for (Token token = 1; token <= 256; ++token) options.banned.push_back(token);
  Workspace workspace({1});
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    Generator generator(model, tokenizer, workspace, options, seed);
    generator.read("x");
    const Generated result = generator.generate({.max_tokens = 200});
    CHECK(result.reason == StopReason::stop_token);
    CHECK(result.text.size() == static_cast<std::size_t>(4 * result.n_tokens));
  }
}

TEST_CASE("an exception of the callback leaves the state with what was read") {
  SamplerOptions only_a;  // so that what is shown is what was read, byte for byte
  for (Token token = 0; token < 256; ++token) {
    if (token != 'a') only_a.banned.push_back(token);
  }
  Workspace workspace({1});
  Generator generator(noise(), Tokenizer(ByteTokenizer()), workspace, only_a);
  generator.read("x");
  std::string shown;
  const auto fail_after_five = [&](std::string_view text) -> bool {
    shown += text;
    if (shown.size() > 5) throw std::runtime_error("disk full");
    return true;
  };
  CHECK_THROWS_WITH_AS(generator.generate({.max_tokens = 50}, fail_after_five), "disk full", std::runtime_error);
  CHECK(shown == "aaaaaa");
  CHECK(difference(generator.state(), state_after("x" + shown)) < 1e-4);
}

TEST_CASE("a generator goes on from a state, once it has read something") {
  Fixture whole, second;
  whole.generator.read("Once");
  whole.generator.read(" upon");
  second.generator.set_state(state_after("Once"));
  CHECK_THROWS_WITH_AS(second.generator.generate(), doctest::Contains("there is nothing to continue"), ArgumentError);
  second.generator.read(" upon");
  CHECK(difference(second.generator.state(), whole.generator.state()) < 1e-4);  // one read as a product, one by tokens
  CHECK(second.generator.generate({.max_tokens = 20}).text == whole.generator.generate({.max_tokens = 20}).text);

  const Model other(synthetic({Generation::v4, 2, 32, 32, 64, 0, 0, 256}, DType::f32, 43));
  const State before = second.generator.state();
  CHECK_THROWS_WITH_AS(second.generator.set_state(other.new_state()), doctest::Contains("is of another model"),
                       ArgumentError);
  CHECK(second.generator.state() == before);
}

TEST_CASE("nothing to continue is an error, and so is a token of another vocabulary") {
  Fixture fixture;
  CHECK_THROWS_WITH_AS(fixture.generator.generate(), doctest::Contains("nothing to continue"), ArgumentError);
  const std::vector<Token> foreign{256};
  CHECK_THROWS_WITH_AS(fixture.generator.read(foreign), doctest::Contains("found 256"), ArgumentError);
  std::vector<Token> late(300, 65);
  late[280] = 256;
  CHECK_THROWS_AS(fixture.generator.read(late), ArgumentError);
  CHECK(fixture.generator.state() == noise().new_state());
  CHECK_THROWS_WITH_AS(Generator(noise(), Tokenizer(ByteTokenizer()), fixture.workspace, {.banned = {256}}),
                       doctest::Contains("found 256"), ArgumentError);
}

TEST_SUITE_END();
