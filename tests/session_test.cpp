// SPDX-License-Identifier: MIT
#include "rwkv/session.hpp"

#include <chrono>

#include "rwkv/arch/synthetic.hpp"
#include "rwkv/load.hpp"
#include "support/small_models.hpp"
#include "support/support.hpp"
#include "text/byte_vocabulary.hpp"

using namespace rwkv;
using rwkv_test::fixture;
using rwkv_test::max_abs_difference;

namespace {

constexpr Config tiny{Generation::v4, 2, 32, 32, 64, 0, 0, 256};

/// A model of noise over bytes: what it says has no meaning, but it is always the same.
Model noise() {
  static const Model model(synthetic(tiny, DType::f32, 42));
  return model;
}

const Tokenizer bytes{ByteTokenizer()};

struct Fixture {
  explicit Fixture(const SessionOptions& options = {}, double temperature = 0)
      : session(noise(), bytes, workspace, options, {.temperature = temperature, .top_p = 1}, 5) {}
  Workspace workspace{{1}};
  Session session;
};

std::vector<float> copy(std::span<const float> values) { return {values.begin(), values.end()}; }

/// What the model says after a text that is read from its beginning.
std::vector<float> logits_after(const Model& model, const std::vector<Token>& tokens) {
  Workspace workspace({1});
  State state = model.new_state();
  return copy(model.forward(tokens, state, workspace));
}

std::string letters(std::size_t n, int step = 1) {
  std::string text;
  for (std::size_t i = 0; i < n; ++i)
    text += static_cast<char>('a' + (i * i + i / 7) * static_cast<std::size_t>(step) % 26);
  return text;
}

/// Where the session is, bit for bit.
struct Moment {
  explicit Moment(const Session& session) : state(session.state()), logits(copy(session.logits())) {}
  State state;
  std::vector<float> logits;
  friend bool operator==(const Moment&, const Moment&) = default;
};

}  // namespace

TEST_SUITE_BEGIN("session");

TEST_CASE("undo, redo and retry restore State and logits bit for bit and read nothing") {
  Fixture fixture;
  Session& session = fixture.session;
  session.read("User: Hello!\n\nAssistant:");
  const TextPlace question = session.place();
  const Moment before(session);
  const Generated first = session.generate({.max_tokens = 40});
  const TextPlace answer = session.place();
  const Moment after(session);
  CHECK(session.text(question.position) == first.text);
  CHECK(session.size() == question.position + 40);

  const Index n_read = session.n_read();
  session.go_to(question);
  CHECK(Moment(session) == before);
  CHECK(session.text() == "User: Hello!\n\nAssistant:");
  session.go_to(answer);
  CHECK(Moment(session) == after);
  session.rewind(question.position);
  CHECK(Moment(session) == before);
  CHECK(session.n_read() == n_read);
  CHECK(session.generate({.max_tokens = 40}).text == first.text);  // greedy: the same again
  CHECK(Moment(session) == after);
}

TEST_CASE("any place of the text can be gone back to, and fewer than interval() tokens are read") {
  Fixture fixture({.interval = 32});
  Session& session = fixture.session;
  const std::string text = letters(300);
  session.read(text);
  const TextPlace end = session.place();
  for (const Index position : {299, 288, 287, 100, 33, 32, 31, 1, 0}) {
    CAPTURE(position);
    session.go_to(end);
    const Index n_read = session.n_read();
    session.rewind(position);
    CHECK(session.n_read() - n_read < session.interval());
    CHECK(session.size() == position);
    CHECK(session.text() == text.substr(0, static_cast<std::size_t>(position)));
    if (position == 0) {
      CHECK(session.logits().empty());
      CHECK(session.state() == noise().new_state());
    } else {
      const auto expected = logits_after(noise(), bytes.encode(text.substr(0, static_cast<std::size_t>(position))));
      CHECK(max_abs_difference(session.logits(), expected) < 1e-4);  // read in other pieces
    }
  }
  CHECK_THROWS_WITH_AS(session.rewind(1), doctest::Contains("0 to 0 tokens"), ArgumentError);
}

TEST_CASE("an earlier turn can be edited, and both histories stay") {
  Fixture fixture;
  Session& session = fixture.session;
  session.read("one ");
  const TextPlace first = session.place();
  session.read("two ");
  session.read("three");
  const TextPlace old = session.place();
  session.go_to(first);
  session.read("zwei ");
  session.read("drei");
  CHECK(session.text() == "one zwei drei");
  const Moment edited(session);
  session.go_to(old);
  CHECK(session.text() == "one two three");
  Fixture fresh;
  for (const char* part : {"one ", "zwei ", "drei"}) fresh.session.read(part);
  CHECK(edited == Moment(fresh.session));
}

TEST_CASE("the same prompt again is not read again, however far it is the same") {
  Fixture fixture({.interval = 64});
  Session& session = fixture.session;
  const std::string prompt = letters(500);
  session.open(prompt);
  const Moment whole(session);
  session.open(letters(100, 3));
  Index n_read = session.n_read();
  session.open(prompt);
  CHECK(session.n_read() == n_read);
  CHECK(Moment(session) == whole);

  // The same for 400 letters: checkpoints are at each 64, so that those behind 384 are read, and no others.
  const std::string other = prompt.substr(0, 400) + letters(50, 5);
  session.open(other);
  CHECK(session.text() == other);
  CHECK(session.n_read() - n_read == 450 - 384);
  CHECK(max_abs_difference(session.logits(), logits_after(noise(), bytes.encode(other))) < 1e-4);

  // And behind a place that is not the beginning.
  session.rewind(384);
  n_read = session.n_read();
  session.read(other.substr(384));
  CHECK(session.n_read() == n_read);
  CHECK(session.text() == other);
}

TEST_CASE("a text that was generated has checkpoints, too, and is cut where a stop text begins") {
  Fixture fixture({.interval = 16});
  Session& session = fixture.session;
  session.read("Once");
  const std::string whole = session.generate({.max_tokens = 100}).text;
  for (std::size_t at = 1; at < 90; at += 7) {
    CAPTURE(at);
    session.rewind(4);
    const std::string stop = whole.substr(at, 3);
    const Generated result = session.generate({.max_tokens = 100, .stops = {stop}});
    CHECK(result.text == whole.substr(0, whole.find(stop)));
    CHECK(session.text() == "Once" + result.text);
    CHECK(max_abs_difference(session.logits(), logits_after(noise(), session.tokens())) < 1e-4);
    const Index n_read = session.n_read(), half = 4 + (session.size() - 4) / 2;
    session.rewind(half);
    CHECK(session.n_read() - n_read < 2 * session.interval());
    CHECK(max_abs_difference(session.logits(), logits_after(noise(), session.tokens())) < 1e-4);
  }
}

TEST_CASE("tokens that a stop text takes back are no part of the text") {
  // A vocabulary whose only long token is "ab|cd"; the model is made to draw it by banning everything else.
  const Tokenizer tokenizer(WorldTokenizer::from_text(rwkv_test::byte_vocabulary() + "257 'ab|cd' 5\n", "test"));
  const Model model(synthetic({Generation::v4, 1, 16, 16, 32, 0, 0, 258}, DType::f32, 1));
  SamplerOptions options;
  for (Token token = 0; token < 257; ++token) options.banned.push_back(token);
  Workspace workspace({1});
  Session session(model, tokenizer, workspace, {.interval = 1}, options);
  session.read("x");
  std::vector<std::pair<TextPlace, std::string>> moments;
  const auto remember = [&](std::string_view) {
    moments.emplace_back(session.place(), session.text());
    return true;
  };
  CHECK(session.generate({.max_tokens = 5, .stops = {"cdab|cdab|cdab"}}, remember).text == "ab|");
  CHECK(session.tokens() == tokenizer.encode("xab|"));
  CHECK(session.text() == "xab|");
  const Moment now(session);
  session.rewind(0);
  session.read("xab|");
  CHECK(Moment(session) == now);
  session.rewind(2);
  CHECK(max_abs_difference(session.logits(), logits_after(model, tokenizer.encode("xa"))) < 1e-5);

  // Nor of a place that was taken while they were held back.
  session.rewind(1);
  CHECK(session.generate({.max_tokens = 6, .stops = {"d#"}}, remember).text == "ab|cdab|cdab|cdab|cdab|cdab|cd");
  REQUIRE(moments.size() > 3);
  for (const auto& [place, text] : moments) {
    session.go_to(place);
    CHECK(session.text() == text);
  }
}

TEST_CASE("guesses change nothing but how often the weights are read") {
  Fixture plain({.interval = 8}), guessing({.interval = 8});
  for (Session* const session : {&plain.session, &guessing.session}) session->read("la la la la la la ");
  CHECK(plain.session.generate({.max_tokens = 50}).text ==
        guessing.session.generate({.max_tokens = 50, .lookup = 4}).text);
  CHECK(guessing.session.tokens() == plain.session.tokens());
  guessing.session.rewind(40);
  plain.session.rewind(40);
  CHECK(max_abs_difference(guessing.session.logits(), plain.session.logits()) < 1e-4);
}

TEST_CASE("a text that a grammar closed is part of the session") {
  Fixture fixture;
  Session& session = fixture.session;
  session.read("abc");
  Constraint constraint(Grammar::from_gbnf("root ::= \"x\"{20}"), bytes);
  const Generated generated = session.generate({.max_tokens = 5, .constraint = &constraint, .close = true});
  CHECK(generated.text == std::string(20, 'x'));
  CHECK(session.text() == "abc" + generated.text);
  CHECK(max_abs_difference(session.logits(), logits_after(noise(), session.tokens())) < 1e-4);
  const TextPlace end = session.place();
  session.rewind(3);
  session.go_to(end);
  CHECK(session.text() == "abc" + generated.text);
  CHECK(max_abs_difference(session.logits(), logits_after(noise(), session.tokens())) < 1e-4);
}

TEST_CASE("an exception and a cancelled answer leave the text that was read") {
  Fixture fixture;
  Session& session = fixture.session;
  session.read("Once");
  int n_calls = 0;
  CHECK_THROWS_WITH_AS(session.generate({.max_tokens = 50},
                                        [&](std::string_view) -> bool {
                                          if (++n_calls == 5) throw std::runtime_error("disk full");
                                          return true;
                                        }),
                       "disk full", std::runtime_error);
  CHECK(session.size() >= 9);
  CHECK(max_abs_difference(session.logits(), logits_after(noise(), session.tokens())) < 1e-4);
  const Generated rest = session.generate({.max_tokens = 50}, [](std::string_view) { return false; });
  CHECK(rest.reason == StopReason::cancelled);
  CHECK(session.text().ends_with(rest.text));

  const std::vector<Token> prompt(1000, 65);
  const Index before = session.size();
  CHECK_FALSE(session.read(prompt, [](Index n) { return n < 300; }));
  CHECK(session.size() > before);
  CHECK(session.size() < before + 1000);
  CHECK(max_abs_difference(session.logits(), logits_after(noise(), session.tokens())) < 1e-4);
}

TEST_CASE("memory is bounded, and the interval grows to fit the present text") {
  Fixture fixture({.interval = 16, .max_bytes = 0});
  const Index one = fixture.session.checkpoint_bytes();
  for (const Index n_most : {0, 1, 2, 3, 8, 20}) {
    CAPTURE(n_most);
    Fixture small({.interval = 16, .max_bytes = n_most * one + 1});
    Session& session = small.session;
    for (int turn = 0; turn < 40; ++turn) {
      session.read(letters(30, turn + 1));
      CHECK(session.n_checkpoints() <= n_most);
      CHECK(session.n_bytes() <= n_most * one + 4 * session.size());
    }
    CHECK(session.size() == 1200);
    if (n_most >= 8) CHECK(session.interval() < 1200);
    const TextPlace end = session.place();
    for (Index position = 1190; position > 0; position -= 130) {
      CAPTURE(position);
      session.go_to(end);
      const Index n_read = session.n_read();
      session.rewind(position);
      CHECK(session.n_read() - n_read < session.interval());
      CHECK(max_abs_difference(session.logits(), logits_after(noise(), session.tokens())) < 1e-4);
    }
  }
}

TEST_CASE("branches are forgotten where there is no room for their tokens") {
  Fixture fixture({.max_tokens = 1000});
  Session& session = fixture.session;
  session.read(letters(400));
  const TextPlace first = session.place();
  for (int i = 0; i < 20; ++i) {
    session.rewind(100);
    session.read(letters(300, i + 2));
  }
  CHECK(session.size() == 400);
  CHECK(session.n_bytes() <= session.n_checkpoints() * session.checkpoint_bytes() + 4 * 1000);
  CHECK(session.contains(first));  // all lines leave it, so it is on the way to all of them
  session.go_to(first);
  CHECK_THROWS_WITH_AS(session.go_to({7, 3}), doctest::Contains("place 3 of line 7: is unknown"), ArgumentError);
  CHECK_THROWS_AS(session.go_to({0, 401}), ArgumentError);
  CHECK(session.text() == letters(400));
}

TEST_CASE("a session goes on from a State") {
  Fixture told, fresh;
  told.session.read("Once upon a time ");
  fresh.session.begin_from(told.session.state());
  CHECK(fresh.session.size() == 0);
  CHECK_THROWS_WITH_AS(fresh.session.generate(), doctest::Contains("nothing to continue"), ArgumentError);
  fresh.session.read("there was");
  told.session.read("there was");
  CHECK(Moment(fresh.session) == Moment(told.session));
  fresh.session.rewind(0);
  fresh.session.open("there was");
  CHECK(Moment(fresh.session) == Moment(told.session));
  const Model other(synthetic(tiny, DType::f32, 43));
  CHECK_THROWS_AS(fresh.session.begin_from(other.new_state()), ArgumentError);
  CHECK(fresh.session.text() == "there was");
}

TEST_CASE("every generation goes back and forth") {
  for (const Config& config : rwkv_test::small_models()) {
    CAPTURE(name(config.generation));
    Config bytes_config = config;
    bytes_config.n_vocab = 256;
    const Model model(synthetic(bytes_config, DType::f32, 3));
    const bool is_short = config.generation == Generation::v1;  // 12 tokens
    Workspace workspace({1});
    Session session(model, bytes, workspace, {.interval = 4}, {.temperature = 0});
    session.read(is_short ? "abcd" : letters(20));
    const TextPlace question = session.place();
    session.generate({.max_tokens = is_short ? 5 : 20});
    const Moment answered(session);
    const TextPlace answer = session.place();
    session.go_to(question);
    CHECK(session.logits().size() == 256);
    session.rewind(3);
    CHECK(max_abs_difference(session.logits(), logits_after(model, session.tokens())) < 1e-3);
    session.read("x");
    session.go_to(answer);
    CHECK(Moment(session) == answered);
  }
}

TEST_CASE("options that make no sense are refused") {
  CHECK_THROWS_WITH_AS(Fixture({.interval = 0}), doctest::Contains("option interval: expected at least 1"),
                       ArgumentError);
  CHECK_THROWS_WITH_AS(Fixture({.max_bytes = -1}), doctest::Contains("max_bytes"), ArgumentError);
  CHECK_THROWS_WITH_AS(Fixture({.max_tokens = -1}), doctest::Contains("max_tokens"), ArgumentError);
  Fixture fixture;
  CHECK_THROWS_AS(fixture.session.read(std::vector<Token>{65, 256}), ArgumentError);
  CHECK(fixture.session.size() == 0);
}

TEST_CASE("after a chat of 20 000 tokens undo, retry and branch take less than a hundredth of reading it again") {
  const std::string path = fixture("../../examples/models/fairy-tales-v7.safetensors");
  const Model model = load_model(path);
  const Tokenizer tokenizer = tokenizer_for(model, path);
  const std::vector<Token> tale = tokenizer.encode(rwkv_test::read_file(fixture("fairy-tales.txt")));
  constexpr Index n_chat = 20'000, n_answer = 30;
  Workspace workspace({1});
  const auto seconds = [](auto&& work) {
    const auto start = std::chrono::steady_clock::now();
    work();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  };
  Session session(model, tokenizer, workspace, {}, {.temperature = 0});
  TextPlace question, before_last;
  while (session.size() < n_chat) {
    before_last = session.place();
    const auto first = static_cast<std::size_t>(session.size()) % (tale.size() - 700);
    session.read(std::span(tale).subspan(first, 600));
    question = session.place();
    session.generate({.max_tokens = n_answer});
  }
  const TextPlace end = session.place();
  const std::string answer = session.text(question.position);
  CHECK(session.n_bytes() <= session.options().max_bytes + 4 * session.size());

  // What reading it again costs and says, in one piece.
  const std::vector<Token> chat = session.tokens();
  const Index n_read = session.n_read();
  State again = model.new_state();
  std::vector<float> logits_again;
  const double seconds_again = seconds([&] {
    logits_again =
        copy(model.forward(std::span(chat).first(static_cast<std::size_t>(question.position)), again, workspace));
  });
  const double undo = seconds([&] { session.go_to(before_last); });
  const double redo = seconds([&] { session.go_to(end); });
  const double retry = seconds([&] { session.go_to(question); });
  CHECK(session.n_read() == n_read);
  CHECK(max_abs_difference(session.logits(), logits_again) < 1e-3);
  Generator reread(model, tokenizer, workspace, {.temperature = 0});
  reread.set_state(again, logits_again);
  CHECK(session.generate({.max_tokens = n_answer}).text == answer);
  CHECK(reread.generate({.max_tokens = n_answer}).text == answer);
  // A branch in the middle of a turn, where no checkpoint was asked for.
  const double branch = seconds([&] { session.rewind(10'123); });
  CHECK(session.n_read() - n_read - n_answer < session.interval());
  MESSAGE("reading again " << seconds_again << " s; undo " << undo << ", redo " << redo << ", retry " << retry
                           << ", branch in the middle " << branch << " s; " << session.n_checkpoints()
                           << " checkpoints of " << session.checkpoint_bytes() << " bytes, interval "
                           << session.interval());
  for (const double each : {undo, redo, retry}) CHECK(each < 0.01 * seconds_again);
}

TEST_SUITE_END();
