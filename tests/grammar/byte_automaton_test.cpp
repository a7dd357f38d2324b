// SPDX-License-Identifier: MIT
#include "rwkv/grammar/byte_automaton.hpp"

#include <memory>

#include "rwkv/grammar/gbnf.hpp"
#include "support/support.hpp"

using namespace rwkv;

namespace {

ByteAutomaton automaton(const std::string& text) {
  return ByteAutomaton(std::make_shared<const RuleNetwork>(GbnfReader(text, "grammar").read()));
}

const std::string json = R"(
root ::= value
value ::= object | array | string | number | "true" | "false" | "null"
object ::= "{" (string ":" " "? value ("," " "? string ":" " "? value)*)? "}"
array ::= "[" (value ("," " "? value)*)? "]"
string ::= "\"" char* "\""
char ::= [^"\\\x00-\x1f] | "\\" (["\\/bfnrt] | "u" [0-9a-fA-F]{4})
number ::= "-"? ("0" | [1-9][0-9]*) ("." [0-9]+)? ([eE][+-]?[0-9]+)?)";

}  // namespace

TEST_SUITE_BEGIN("grammar/byte_automaton");

TEST_CASE("a text that repeats itself comes back to the same state") {
  ByteAutomaton machine = automaton(json);
  const auto state = [&](std::string_view text) { return machine.next(machine.start(), text); };
  CHECK(state("[\"a") == state("[\"bc\xc3\xa4\\n\\u00e4"));
  CHECK(state("[1,") == state("[1,2, {\"a\":[]},"));
  CHECK(state("[[") != state("["));
  CHECK(state("[[]") == state("[{\"a\": [1,2]}"));
  CHECK(state("[1 ,") == ByteAutomaton::dead);
  CHECK(machine.next(ByteAutomaton::dead, 'a') == ByteAutomaton::dead);
}

TEST_CASE("recursion at the end of a rule does not grow") {
  ByteAutomaton machine = automaton("root ::= ws \"x\"\nws ::= (\" \" ws)?");
  const auto after = machine.next(machine.start(), " ");
  CHECK(machine.next(machine.start(), std::string(1000, ' ')) == after);
  ByteAutomaton list = automaton("root ::= item | item \",\" root\nitem ::= [a-z]+");
  CHECK(list.next(list.start(), "ab,") == list.next(list.start(), "a,b,c,d,"));
}

TEST_CASE("where a text may and must end") {
  ByteAutomaton machine = automaton(json);
  const auto state = [&](std::string_view text) { return machine.next(machine.start(), text); };
  for (const char* text : {"1", "12", "-0.5", "1e5"}) {
    CHECK(machine.may_end(state(text)));
    CHECK_FALSE(machine.must_end(state(text)));
  }
  for (const char* text : {"{}", "true", "\"a\"", "[1, 2]"}) CHECK(machine.must_end(state(text)));
  for (const char* text : {"", "{", "-", "1.", "1e", "[1"}) CHECK_FALSE(machine.may_end(state(text)));
  CHECK_FALSE(machine.may_end(ByteAutomaton::dead));
  CHECK_FALSE(machine.must_end(ByteAutomaton::dead));
}

TEST_CASE("the shortest end") {
  ByteAutomaton machine = automaton(json);
  const std::pair<const char*, const char*> ends[] = {
      {"", "0"},         {"1", ""},      {"-", "0"},          {"1.", "0"},           {"{", "}"},
      {"{\"a", "\":0}"}, {"[[{", "}]]"}, {"\"\\u00", "00\""}, {"{\"a\": tr", "ue}"}, {"\"\xe2\x82", "\x80\""}};
  for (const auto& each : ends) {
    const char *const text = each.first, *const end = each.second;
    CAPTURE(text);
    const auto state = machine.next(machine.start(), text);
    CHECK(machine.shortest_end(state) == end);
    CHECK(machine.n_least(state) == std::string(end).size());
  }
  CHECK_THROWS_AS(static_cast<void>(machine.shortest_end(ByteAutomaton::dead)), ArgumentError);
  ByteAutomaton detour =
      automaton("root ::= \"a\" (\"b\" long | \"c\" \"dd\")\nlong ::= \"e\"{5} | \"f\" \"\" | \"g\"{2}");
  CHECK(detour.shortest_end(detour.start()) == "abf");
  ByteAutomaton endless = automaton("root ::= ((\"a\"{1000}){1000}){1000}");
  CHECK_THROWS_WITH_AS(static_cast<void>(endless.shortest_end(endless.start())),
                       doctest::Contains("longer than a megabyte"), UnsupportedError);
}

TEST_CASE("ambiguous grammars do not blow up") {
  // After n times a there are 2^n ways in which the text can go on, and of order n positions.
  ByteAutomaton ways = automaton("root ::= \"a\" root \"b\" | \"a\" root \"c\" | \"\"");
  auto state = ways.next(ways.start(), std::string(2000, 'a'));
  for (int i = 0; i < 2000; ++i) state = ways.next(state, i % 3 == 0 ? 'b' : 'c');
  CHECK(ways.must_end(state));
  // A text of n times a has a number of trees that grows as 4^n.
  ByteAutomaton trees = automaton("root ::= \"a\" root root | \"a\"");
  state = trees.next(trees.start(), std::string(301, 'a'));
  CHECK(trees.may_end(state));
  CHECK(trees.may_end(trees.next(trees.start(), std::string(7, 'a'))));
  CHECK_FALSE(trees.may_end(trees.next(trees.start(), std::string(6, 'a'))));
}

TEST_CASE("copies of a state say the same in an automaton of their own") {
  ByteAutomaton machine = automaton(json);
  for (const char* text : {"", "{\"a\": [1, {\"b", "12.", "[true"}) {
    CAPTURE(text);
    const auto state = machine.next(machine.start(), text);
    auto [copy, same] = machine.only(state);
    CHECK(copy.n_states() < 10);
    CHECK(copy.n_least(same) == machine.n_least(state));
    CHECK(copy.shortest_end(same) == machine.shortest_end(state));
    for (const char* next : {"\"", "]", "}", "1", "\": 2}]}", "e, 1]"}) {
      const auto a = machine.next(state, next), b = copy.next(same, next);
      CHECK((a == ByteAutomaton::dead) == (b == ByteAutomaton::dead));
      CHECK(copy.may_end(b) == machine.may_end(a));
    }
  }
}

TEST_CASE("states that are alike for n bytes allow the same n bytes") {
  for (const char* const grammar :
       {"root ::= [ab]{0,30} \"c\"", "root ::= [ab]{30} \"c\"", "root ::= [ab]{10,30} \"c\"",
        "root ::= ([ab] \"b\"?){20,}", "root ::= (\"a\" (\"b\"{3,9} \"c\"?){4}){10}",
        "root ::= (\"aa\" | \"bbb\"){0,9} \"c\"", "root ::= r{12}\nr ::= \"a\" r \"b\" | \"c\"",
        "root ::= (\"a\"?){20} \"b\""}) {
    CAPTURE(grammar);
    ByteAutomaton machine = automaton(grammar);
    for (const std::size_t n_bytes : {1u, 3u, 6u}) {
      std::vector<std::uint32_t> frames;
      std::vector<std::string> texts{""};  // all up to n_bytes
      for (std::size_t i = 0; i < texts.size(); ++i) {
        for (const char c : {'a', 'b', 'c'}) {
          if (texts[i].size() < n_bytes) texts.push_back(texts[i] + c);
        }
      }
      Random random(3);
      auto state = machine.start();
      for (int step = 0; step < 40 && !machine.must_end(state); ++step) {
        const auto alike = machine.alike(state, n_bytes, frames);
        for (const std::string& text : texts) {
          CHECK((machine.next(state, text) == ByteAutomaton::dead) ==
                (machine.next(alike, text) == ByteAutomaton::dead));
        }
        auto next = ByteAutomaton::dead;
        while (next == ByteAutomaton::dead)
          next = machine.next(state, static_cast<unsigned char>('a' + random.next() % 3));
        state = next;
      }
    }
  }
}

TEST_CASE("far from the end of a repetition all states are alike") {
  ByteAutomaton machine = automaton("root ::= \"\\\"\" .{0,1000} \"\\\"\"");
  std::vector<std::uint32_t> frames;
  const auto a = machine.next(machine.start(), "\"" + std::string(10, 'x'));
  const auto b = machine.next(machine.start(), "\"" + std::string(900, 'x'));
  const auto c = machine.next(machine.start(), "\"" + std::string(995, 'x'));
  CHECK(a != b);
  CHECK(machine.alike(a, 16, frames) == machine.alike(b, 16, frames));
  CHECK(machine.alike(a, 16, frames) != machine.alike(c, 16, frames));
}

TEST_SUITE_END();
