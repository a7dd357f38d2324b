// SPDX-License-Identifier: MIT
#include "rwkv/text/constraint.hpp"

#include "rwkv/arch/synthetic.hpp"
#include "rwkv/load.hpp"
#include "rwkv/text/generator.hpp"
#include "support/python.hpp"
#include "support/support.hpp"
#include "text/bpe_file.hpp"
#include "text/byte_vocabulary.hpp"

using namespace rwkv;
using namespace rwkv_test;

namespace {

/// Bytes, and longer tokens that cross the borders of what grammars are made of.
Tokenizer small_world() {
  std::string text = byte_vocabulary();
  int id = 257;
  for (const char* const token : {"{\\\"",     "\\\": ",   "\\\": \\\"",
                                  "\\\"}",     "}}",       "},",
                                  "[[",        "]]",       "],[",
                                  "true",      "als",      "12",
                                  "123456789", "0.",       "ab",
                                  "abc",       "aaaaaaaa", "aaaaaaaaaaaaaaaaaaaaaaaa",
                                  "bc\\\"",    "\xc3\xa4", "\xc3\xa4\xc3\xb6",
                                  "  ",        ", ",       ": "}) {
    std::string bytes;  // without the backslashes before quotes
    for (const char* c = token; *c != '\0'; ++c) bytes += *c == '\\' ? "" : std::string(1, *c);
    text += std::to_string(id++) + " \"" + token + "\" " + std::to_string(bytes.size()) + "\n";
  }
  return Tokenizer(WorldTokenizer::from_text(text, "small"));
}

Grammar recursive_schema() {
  return Grammar::from_json_schema(R"({"$ref": "#/$defs/node", "$defs": {"node": {
    "properties": {"name": {"type": "string", "maxLength": 30}, "value": {"type": ["integer", "null"], "maximum": 120},
                   "next": {"type": "array", "items": {"$ref": "#/$defs/node"}, "maxItems": 20}},
    "required": ["name"]}}})");
}

std::vector<Grammar> grammars() {
  return {Grammar::json(), recursive_schema(), Grammar::from_gbnf("root ::= \"a\"{0,40} \"b\"{40} [^ab]*"),
          Grammar::from_gbnf("root ::= \"a\" root \"b\" | \"a\" root \"c\" | \"\""),
          Grammar::from_gbnf("root ::= .{0,12} | [\\u00e4-\\u00ff]+ \"x\"?")};
}

/// The tokens that are allowed after a text, found token by token.
std::vector<bool> by_trial(const Grammar& grammar, const Tokenizer& tokenizer, const std::string& text) {
  ByteAutomaton machine(grammar.network());
  const auto state = machine.next(machine.start(), text);
  std::vector<bool> allowed;
  for (Token token = 0; token < tokenizer.n_vocab(); ++token) {
    const std::string_view bytes = tokenizer.bytes(token);
    allowed.push_back(token == tokenizer.end_of_text()
                          ? machine.may_end(state)
                          : !bytes.empty() && machine.next(state, bytes) != ByteAutomaton::dead);
  }
  return allowed;
}

/// Random texts of each grammar, token by token: the masks on the way are those of trial.
void check_masks(const Tokenizer& tokenizer, int n_texts, int n_tokens) {
  const std::uint64_t seed = 21;
  CAPTURE(seed);
  Random random(seed);
  for (const Grammar& grammar : grammars()) {
    Constraint constraint(grammar, tokenizer);
    for (int i = 0; i < n_texts; ++i) {
      constraint.reset();
      std::string text;
      for (int step = 0; step < n_tokens && !constraint.must_end(); ++step) {
        const std::vector<bool> expected = by_trial(grammar, tokenizer, text);
        std::vector<Token> tokens;
        int n_wrong = 0;
        for (Token token = 0; token < tokenizer.n_vocab(); ++token) {
          const bool is_allowed = constraint.allows(token);
          n_wrong += is_allowed != expected[static_cast<std::size_t>(token)] ? 1 : 0;
          if (is_allowed && !tokenizer.bytes(token).empty()) tokens.push_back(token);
        }
        CAPTURE(text);
        REQUIRE(n_wrong == 0);
        REQUIRE_FALSE(tokens.empty());
        // One of few that are rare in a random choice, or any.
        const std::size_t n = random.next() % 2 == 0 ? tokens.size() : std::min<std::size_t>(tokens.size(), 100);
        const Token token = tokens[random.next() % n];
        constraint.accept(token);
        text += tokenizer.bytes(token);
      }
    }
  }
}

Tokenizer world() { return load_tokenizer(shared_file("testdata/tokenizers/rwkv_vocab_v20230424.txt")); }

Model noise(Index n_vocab) { return Model(synthetic({Generation::v4, 1, 32, 32, 64, 0, 0, n_vocab}, DType::f32, 42)); }

}  // namespace

TEST_SUITE_BEGIN("text/constraint");

TEST_CASE("the allowed tokens are those that fit one by one: bytes, small vocabularies") {
  check_masks(Tokenizer(ByteTokenizer()), 4, 60);
  check_masks(small_world(), 6, 40);
  check_masks(Tokenizer(BpeTokenizer::from_text(small_bpe().dump(), "small")), 4, 40);
}

TEST_CASE("the allowed tokens are those that fit one by one: World") {
  RWKV_NEEDS_SHARED();
  check_masks(world(), 2, 25);
}

TEST_CASE("tokens may cross what the grammar is made of, and only whole ones count") {
  const Tokenizer tokenizer = small_world();
  const Grammar grammar =
      Grammar::from_json_schema(R"({"properties": {"ab": {"type": "string"}}, "required": ["ab"]})");
  Constraint constraint(grammar, tokenizer);
  const auto allowed = [&] {
    std::string list;
    for (Token token = 0; token < tokenizer.n_vocab(); ++token) {
      if (constraint.allows(token)) list += (list.empty() ? "" : "|") + std::string(tokenizer.bytes(token));
    }
    return list;
  };
  CHECK(allowed() == "{|{\"");
  constraint.accept("{\"");
  CHECK(allowed() == "a|ab");  // not abc
  constraint.accept("ab");
  CHECK(allowed() == "\"|\": |\": \"");
}

TEST_CASE("the end of the text is allowed exactly where the text fits") {
  const Tokenizer tokenizer = small_world();
  const Token end = *tokenizer.end_of_text();
  Constraint constraint(Grammar::from_gbnf("root ::= [0-9]+ (\",\" [0-9]+)*"), tokenizer);
  CHECK_FALSE(constraint.allows(end));
  CHECK_THROWS_WITH_AS(constraint.accept(end), doctest::Contains("does not allow it here"), ArgumentError);
  constraint.accept("12");
  CHECK(constraint.allows(end));
  CHECK(constraint.may_end());
  CHECK_FALSE(constraint.must_end());
  constraint.accept(",");
  CHECK_FALSE(constraint.allows(end));
  CHECK(constraint.shortest_end() == "0");
  CHECK_THROWS_AS(constraint.accept(std::string_view("1,,")), ArgumentError);
  CHECK_THROWS_AS(constraint.accept(Token{9999}), ArgumentError);
  CHECK_THROWS_AS(constraint.accept(Token{-1}), ArgumentError);
  CHECK_FALSE(constraint.allows(-1));
  CHECK_FALSE(constraint.allows(9999));
  constraint.accept("7");  // what was refused has changed nothing
  CHECK(constraint.allows(end));
  constraint.accept(end);
  CHECK(constraint.must_end());
  const auto allowed = constraint.allowed();
  CHECK(std::ranges::all_of(allowed, [](std::uint64_t word) { return word == 0; }));
  CHECK_FALSE(constraint.allows(end));
  std::vector<float> logits(static_cast<std::size_t>(tokenizer.n_vocab()));
  CHECK_THROWS_WITH_AS(constraint.apply(logits, logits), doctest::Contains("ended the text"), ArgumentError);
  CHECK_THROWS_AS(constraint.accept(std::string_view("1")), ArgumentError);
  constraint.reset();
  CHECK(constraint.allows('1' + 1));
  CHECK_FALSE(constraint.must_end());
  CHECK_FALSE(constraint.may_end());
}

TEST_CASE("logits of what is not allowed become -infinity, whatever their number") {
  const Tokenizer tokenizer = small_world();
  Constraint constraint(Grammar::from_gbnf("root ::= [a-z]+"), tokenizer);
  for (const std::size_t n : {static_cast<std::size_t>(tokenizer.n_vocab()), std::size_t{150}, std::size_t{512}}) {
    const std::vector<float> logits = random_values<float>(static_cast<Index>(n), 1);
    std::vector<float> out(n);
    constraint.apply(logits, out);
    for (std::size_t i = 0; i < n; ++i) {
      const float expected =
          constraint.allows(static_cast<Token>(i)) ? logits[i] : -std::numeric_limits<float>::infinity();
      CHECK(out[i] == expected);
    }
  }
  std::vector<float> three(3), four(4), enough(99);
  CHECK_NOTHROW(constraint.apply(enough, enough));
  CHECK_THROWS_AS(constraint.apply(three, four), ArgumentError);
  for (const std::size_t n :
       {std::size_t{4}, std::size_t{64}, std::size_t{97}}) {  // the first that is allowed, a, is token 98
    std::vector<float> fewer(n);
    CHECK_THROWS_WITH_AS(constraint.apply(fewer, fewer), doctest::Contains("no token can follow"), UnsupportedError);
  }
}

TEST_CASE("a long life: memory is given back, and nothing else changes") {
  const Tokenizer tokenizer = small_world();
  const Grammar grammar = Grammar::from_gbnf("root ::= \"[\" root \"]\" | \"[\" root \")\" | \"a\"");
  Constraint constraint(grammar, tokenizer);
  constraint.accept(std::string(70000, '['));  // a state for each
  std::string allowed;
  for (Token token = 0; token < tokenizer.n_vocab(); ++token) {
    if (constraint.allows(token)) allowed += std::string(tokenizer.bytes(token)) + "|";
  }
  CHECK(allowed == "[|a|[[|");
  constraint.accept("a" + std::string(69999, ']'));
  CHECK_FALSE(constraint.may_end());
  CHECK(constraint.shortest_end() == ")");
}

TEST_CASE("what is generated fits, with and without guesses, whatever the seed") {
  const Tokenizer tokenizer = small_world();
  const Model model = noise(tokenizer.n_vocab());
  const Grammar grammar = recursive_schema();
  Workspace workspace({1});
  Constraint constraint(grammar, tokenizer);
  int n_whole = 0;
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    std::string texts[2];
    for (const Index lookup : {0, 5}) {
      constraint.reset();
      Generator generator(model, tokenizer, workspace, {.temperature = 1.5, .top_p = 1}, seed);
      generator.read("x");
      const Generated generated =
          generator.generate({.max_tokens = 60, .lookup = lookup, .constraint = &constraint, .close = true});
      CHECK(grammar.accepts(generated.text));
      CHECK(constraint.may_end());
      if (generated.reason == StopReason::constraint) ++n_whole;
      texts[lookup == 0 ? 0 : 1] = generated.text;
    }
    CHECK(texts[0] == texts[1]);
  }
  CHECK(n_whole > 0);
}

TEST_CASE("a text that is closed has been read") {
  Workspace workspace({1});
  const Tokenizer tokenizer{ByteTokenizer()};
  const Model model = noise(256);
  const Grammar grammar = Grammar::from_gbnf("root ::= \"{\" [a-z]{100,} \"}\"");
  Constraint constraint(grammar, tokenizer), other(grammar, tokenizer);
  Generator generator(model, tokenizer, workspace), expected(model, tokenizer, workspace);
  generator.read("x");
  std::string shown;
  const Generated closed =
      generator.generate({.max_tokens = 50, .constraint = &constraint, .close = true}, [&](std::string_view text) {
        shown += text;
        return true;
      });
  CHECK(closed.reason == StopReason::length);
  CHECK(closed.n_tokens == 50);
  CHECK(closed.text.size() == 102);
  CHECK(closed.text.substr(50) == std::string(51, 'a') + "}");
  CHECK(shown == closed.text);
  expected.read("x" + closed.text);
  CHECK(max_abs_difference(generator.state().values(), expected.state().values()) < 1e-4);
  // Not asked for: the text is left open, and can go on.
  generator.set_state(model.new_state());
  generator.read("x");
  const Generated open = generator.generate({.max_tokens = 50, .constraint = &other});
  CHECK_FALSE(other.may_end());
  const Generated rest = generator.generate({.max_tokens = 1000, .constraint = &other, .close = true});
  CHECK(grammar.accepts(open.text + rest.text));
}

TEST_CASE("generation ends where nothing can follow, at the limit, too") {
  Workspace workspace({1});
  Generator generator(noise(256), Tokenizer(ByteTokenizer()), workspace);
  generator.read("x");
  Constraint constraint(Grammar::from_gbnf("root ::= \"abc\""), generator.tokenizer());
  for (const Index limit : {3, 10}) {
    constraint.reset();
    const Generated generated = generator.generate({.max_tokens = limit, .constraint = &constraint});
    CHECK(generated.text == "abc");
    CHECK(generated.reason == StopReason::constraint);
  }
  CHECK(generator.generate({.max_tokens = 10, .constraint = &constraint}).text.empty());
}

TEST_CASE("200 texts of the demo model under a nested schema are valid") {
  const std::string path = fixture("../../examples/models/fairy-tales-v7.safetensors");
  const std::string schema = R"({"type": "object", "properties": {
    "name": {"type": "string", "minLength": 1, "maxLength": 40}, "age": {"type": "integer", "minimum": 0, "maximum": 120},
    "height": {"type": "number", "minimum": 0.3, "exclusiveMaximum": 2.5}, "born": {"type": "string", "format": "date"},
    "kind": {"enum": ["king", "frog", null]},
    "friends": {"type": "array", "minItems": 1, "maxItems": 3, "items": {"$ref": "#/$defs/friend"}},
    "house": {"oneOf": [{"type": "null"}, {"type": "object", "properties": {"rooms": {"type": "integer", "minimum": 1},
      "colour": {"type": "string", "pattern": "^[a-z]{3,12}( and [a-z]{3,12})?$"}}, "required": ["rooms", "colour"]}]}},
    "required": ["name", "friends", "house", "kind"], "additionalProperties": false,
    "$defs": {"friend": {"type": "object", "properties": {"name": {"type": "string", "pattern": "^[A-Z][a-z ]{1,30}$"},
      "friends": {"type": "array", "items": {"$ref": "#/$defs/friend"}, "maxItems": 2}}, "required": ["name"]}}})";
  const Model model = load_model(path);
  const Tokenizer tokenizer = tokenizer_for(model.config().n_vocab, path);
  const Grammar grammar = Grammar::from_json_schema(schema);
  Constraint constraint(grammar, tokenizer);
  Workspace workspace({1});
  std::vector<SchemaAndText> written;
  int n_whole = 0;
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    constraint.reset();
    Generator generator(model, tokenizer, workspace, {.temperature = 1.5, .top_p = 1}, seed);
    generator.read("Once upon a time there was ");
    const Generated generated = generator.generate({.max_tokens = 400, .constraint = &constraint, .close = true});
    CHECK(grammar.accepts(generated.text));
    n_whole += generated.reason == StopReason::constraint ? 1 : 0;
    written.push_back({schema, generated.text});
  }
  MESSAGE(n_whole << " of 200 ended by themselves");
  CHECK(n_whole > 150);
  check_valid_json(written);
}

TEST_SUITE_END();
