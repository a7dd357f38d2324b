// SPDX-License-Identifier: MIT
#include "rwkv/grammar/gbnf.hpp"

#include <regex.h>

#include <memory>

#include "rwkv/grammar/byte_automaton.hpp"
#include "support/support.hpp"

using namespace rwkv;

namespace {

ByteAutomaton automaton(const std::string& text) {
  return ByteAutomaton(std::make_shared<const RuleNetwork>(GbnfReader(text, "g.gbnf").read()));
}

bool accepts(ByteAutomaton& grammar, std::string_view text) {
  return grammar.may_end(grammar.next(grammar.start(), text));
}

/// Checks which of two lists of texts fit.
void check(const std::string& grammar, const std::vector<std::string>& fitting,
           const std::vector<std::string>& others) {
  CAPTURE(grammar);
  ByteAutomaton machine = automaton(grammar);
  for (const std::string& text : fitting) {
    CAPTURE(text);
    CHECK(accepts(machine, text));
  }
  for (const std::string& text : others) {
    CAPTURE(text);
    CHECK_FALSE(accepts(machine, text));
  }
}

void check_refused(const std::string& grammar, const std::string& phrase) {
  CAPTURE(grammar);
  CHECK_THROWS_WITH_AS(automaton(grammar), doctest::Contains(phrase.c_str()), FormatError);
}

}  // namespace

TEST_SUITE_BEGIN("grammar/gbnf");

TEST_CASE("literals and their escapes") {
  check(R"(root ::= "a\n\r\t\\\"\[\]\x41\u00e4\U0001F600")", {"a\n\r\t\\\"[]A\xc3\xa4\xf0\x9f\x98\x80"}, {"", "a"});
  check(R"(root ::= "")", {""}, {"a"});
  check("root ::= \"\xc3\xa4\"", {"\xc3\xa4"}, {"\xc3", "\xa4", "\xe4"});
}

TEST_CASE("sets are of characters, not of bytes") {
  check(R"(root ::= [a-cx-])", {"a", "b", "c", "x", "-"}, {"", "d", "ab"});
  check(R"(root ::= [^a-c\]\n])", {"d", "\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "\r"},
        {"a", "]", "\n", "\xc3", "\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xc0\x80"});
  check(R"(root ::= [\u00e4-\u20ac])", {"\xc3\xa4", "\xc3\xbf", "\xe0\xa0\x80", "\xe2\x82\xac"},
        {"\xc3\xa3", "\xe2\x82\xad"});
  check(R"(root ::= .)", {"\n", "a", "\xc3\xa4"}, {"", "\xff", "ab"});
  check(R"(root ::= "a" [] | "b" [^]?)", {"b", "bx"}, {"a", "ax"});
}

TEST_CASE("choices, groups, repetitions") {
  check(R"(root ::= "a" | "b" "c" | )", {"a", "bc", ""}, {"b", "c", "abc"});
  check(R"(root ::= ("a" | "b") "c")", {"ac", "bc"}, {"a", "c", "abc"});
  check(R"(root ::= "a"*)", {"", "a", "aaaa"}, {"b", "ab"});
  check(R"(root ::= ("a" "b")+)", {"ab", "abab"}, {"", "a", "aba"});
  check(R"(root ::= "a"? "b")", {"b", "ab"}, {"a", "aab"});
  check(R"(root ::= "a"{3})", {"aaa"}, {"", "aa", "aaaa"});
  check(R"(root ::= "a"{2,})", {"aa", "aaaaa"}, {"", "a"});
  check(R"(root ::= "a"{ 1 , 3 })", {"a", "aa", "aaa"}, {"", "aaaa"});
  check(R"(root ::= "a"{0,0} "b"{0} "c")", {"c"}, {"ac", "bc", ""});
  check(R"(root ::= ("a"? "b"?){2} "c")", {"c", "abc", "bac", "ababc", "bbc"}, {"ababab", "bbbc", "baac"});
  check(R"(root ::= "a"+?)", {"", "a", "aa"}, {"b"});
  check(R"(root ::= (("a"*)*)+)", {"", "aaa"}, {"b"});
}

TEST_CASE("repetitions behind each other are one where they can be") {
  check(R"(root ::= "a"++)", {"a", "aaa"}, {""});
  check(R"(root ::= "a"+*)", {"", "aaa"}, {"b"});
  check(R"(root ::= "a"*+)", {"", "aaa"}, {"b"});
  check(R"(root ::= "a"??)", {"", "a"}, {"aa"});
  check(R"(root ::= "a"?{3})", {"", "a", "aaa"}, {"aaaa"});
  check(R"(root ::= "a"?{2,})", {"", "aaaa"}, {"b"});
  check(R"(root ::= "a"+{3})", {"aaa", "aaaaaa"}, {"", "aa"});
  check(R"(root ::= "a"+{2,3} "b")", {"aab", "aaaaaab"}, {"ab", "b"});
  check(R"(root ::= "a"+{0,2} "b")", {"b", "ab", "aaaaab"}, {"a"});
  check(R"(root ::= "a"+{0} "b")", {"b"}, {"ab"});
  check(R"(root ::= "a"{2}{3})", {"aaaaaa"}, {"aa", "aaa", "aaaaaaa"});
  check(R"(root ::= "a"{2,3}*)", {"", "aa", "aaaaa"}, {"a"});
}

TEST_CASE("what can be read in too many ways is refused, and the automaton stays as it was") {
  CHECK_THROWS_WITH_AS(automaton(R"(root ::= ("a"? "b"?){80000})"), doctest::Contains("too ambiguous"),
                       UnsupportedError);
  ByteAutomaton machine = automaton(R"(root ::= "x" (("a"? "b"?){80000} | "c") | "y")");
  for (int i = 0; i < 2; ++i) {
    CHECK_THROWS_WITH_AS(static_cast<void>(machine.next(machine.start(), "x")), doctest::Contains("too ambiguous"),
                         UnsupportedError);
  }
  CHECK(machine.may_end(machine.next(machine.start(), "y")));
}

TEST_CASE("found by fuzzing: the shortest end of many repetitions is found in a moment") {
  ByteAutomaton machine =
      automaton("root ::= (\"a\" | [b-z] \"b\")" + std::string(14, '+') + "{1000}" + std::string(7, '+') + " root*");
  CHECK(machine.shortest_end(machine.start()) == std::string(1000, 'a'));
}

TEST_CASE("rules span lines, refer to later ones and to themselves, and have comments") {
  check(
      "# a comment\nroot ::= # another\n  first-one  # one more\n  | second_2\n\nfirst-one ::= "
      "\"x\"\nsecond_2::=\"#\"\n",
      {"x", "#"}, {"", "x#"});
  check("root ::= \"(\" root \")\" | \"\"", {"", "()", "((()))"}, {"(", "(()", ")("});
  check("root ::= \"a\" root \"b\" root | \"\"", {"", "ab", "aabb", "abab", "aababb"}, {"a", "ba", "aab"});
  check("root ::= e\ne ::= t (\"+\" t)*\nt ::= [0-9]+ | \"(\" e \")\"", {"1", "1+2+(3+4)"}, {"1+", "(1", "+1"});
}

TEST_CASE("regular grammars fit what the regular expressions of POSIX fit") {
  const std::vector<std::pair<std::string, std::string>> pairs{
      {R"("a"* "b"{2,3} | "c")", "a*b{2,3}|c"},
      {R"(("a" | "b")* "c" ("a" | "b"){2})", "(a|b)*c(a|b){2}"},
      {R"(("a"? "b"?)+ "c"?)", "(a?b?)+c?"},
      {R"([ab]{0,4} [^ab]* "a")", "[ab]{0,4}[^ab]*a"},
      {R"(("ab" | "a" | "b" "c"){1,3})", "(ab|a|bc){1,3}"},
      {R"((("a" "b"?){2} "c"){0,2})", "((ab?){2}c){0,2}"}};
  for (const auto& pair : pairs) {
    const auto& grammar = pair.first;
    const auto& expression = pair.second;
    CAPTURE(grammar);
    ByteAutomaton machine = automaton("root ::= " + grammar);
    regex_t regex;
    REQUIRE(regcomp(&regex, ("^(" + expression + ")$").c_str(), REG_EXTENDED | REG_NOSUB) == 0);
    std::vector<std::string> texts{""};  // all of a, b and c up to 7 letters
    for (std::size_t i = 0; i < texts.size(); ++i) {
      const std::string text = texts[i];
      CAPTURE(text);
      CHECK(accepts(machine, text) == (regexec(&regex, text.c_str(), 0, nullptr, 0) == 0));
      for (const char c : {'a', 'b', 'c'}) {
        if (text.size() < 7) texts.push_back(text + c);
      }
    }
    regfree(&regex);
  }
}

TEST_CASE("errors tell line and column") {
  check_refused("", "g.gbnf: grammar: has no rule 'root'");
  check_refused("a ::= \"b\"", "has no rule 'root'");
  check_refused("root ::= \"a\"\n  \"b\" c", "line 2, column 7: rule 'c' is used and not defined");
  check_refused("root ::= \"a\"\nroot ::= \"b\"", "line 2, column 1: rule 'root' is defined twice");
  check_refused("root = \"a\"", "line 1, column 6: expected ::=, found '='");
  check_refused("root ::= (\"a\"", "line 1, column 14: expected ), found the end");
  check_refused("root ::= \"a\")", "line 1, column 13: expected a rule, or more of this one, found ')'");
  check_refused("root ::= \"a", "line 1, column 10: the text does not end");
  check_refused("root ::= [a", "line 1, column 10: the set does not end");
  check_refused("root ::= [z-a]", "line 1, column 11: the range ends before it begins");
  check_refused("root ::= \"\xc3\xa4\" \"\\q\"", "line 1, column 15: is no escape");
  check_refused("root ::= \"\\u12\"", "is no escape");
  check_refused("root ::= \"\\U00110000\"", "is no escape");
  check_refused("root ::= \"\\ud800\"", "surrogates");
  check_refused("root ::= \"a\"{2,1}", "line 1, column 13: the most is less than the least");
  check_refused("root ::= \"a\"{x}", "line 1, column 14: expected a number, found 'x'");
  check_refused("root ::= \"a\"{99999999999999999999}", "the number is too large");
  check_refused("root ::= *", "line 1, column 10: expected a rule, or more of this one, found '*'");
  check_refused("\xff", "is not UTF-8");
}

TEST_CASE("left recursion, direct, through others and behind what may be empty") {
  check_refused("root ::= root \"a\" | \"a\"", "line 1, column 1: rule 'root': begins with itself (left recursion)");
  check_refused("root ::= b\nb ::= c \"x\"\nc ::= \"y\" | b", "found 'b' -> 'c' -> 'b'");
  check_refused("root ::= ws root \"a\" | \"b\"\nws ::= \" \"*", "begins with itself");
  check_refused("root ::= (root \"a\"){2} | \"b\"", "begins with itself");
  CHECK_NOTHROW(automaton("root ::= \"a\" root | \"b\""));
}

TEST_CASE("what can never end is refused as a whole, and not offered as a part") {
  check_refused("root ::= \"a\" root", "no text fits");
  check_refused("root ::= []", "no text fits");
  ByteAutomaton machine = automaton("root ::= \"a\" | \"b\" endless\nendless ::= \"c\" endless");
  CHECK(machine.next(machine.start(), 'a') != ByteAutomaton::dead);
  CHECK(machine.next(machine.start(), 'b') == ByteAutomaton::dead);
}

TEST_CASE("hostile sizes are refused, and quickly") {
  CHECK_THROWS_WITH_AS(automaton("root ::= \"a\"{1,1000000}"), doctest::Contains("too large"), UnsupportedError);
  CHECK_THROWS_WITH_AS(automaton("root ::= \"\"{18446744073709551615}"), doctest::Contains("too large"),
                       UnsupportedError);
  CHECK_THROWS_WITH_AS(automaton("root ::= \"a\"{1,18446744073709551615}"), doctest::Contains("too large"),
                       UnsupportedError);
  check_refused("root ::= " + std::string(100000, '('), "nested too deeply");
  check_refused("root ::= " + std::string(300, '(') + "\"a\"" + std::string(300, ')'), "nested too deeply");
  // Repetitions of repetitions share their parts: a thousand millions of a, and one number of nodes for each.
  ByteAutomaton machine = automaton("root ::= ((\"a\"{1000}){1000}){1000}");
  CHECK(machine.n_least(machine.start()) == 1000000000);
  CHECK(machine.n_least(machine.next(machine.start(), std::string(5000, 'a'))) == 1000000000 - 5000);
}

TEST_CASE("random texts are read or refused") {
  const std::uint64_t seed = 11;
  CAPTURE(seed);
  Random random(seed);
  const std::string pieces[] = {"root", "::=",   " ", "\n", "\"a\"", "[a-c]", "[^", "]", "(", ")", "*",        "+",
                                "?",    "{2,3}", "|", "b",  "\\",    ".",     "\"", "#", "{", "}", "\xc3\xa4", "\xff"};
  int n_read = 0;
  for (int i = 0; i < 20000; ++i) {
    std::string text = random.next() % 2 == 0 ? "root ::= " : "";
    for (std::uint64_t n = random.next() % 20; n > 0; --n) text += pieces[random.next() % std::size(pieces)];
    CAPTURE(text);
    try {
      ByteAutomaton machine = automaton(text);
      const std::string shortest = machine.shortest_end(machine.start());
      CHECK(accepts(machine, shortest));
      ++n_read;
    } catch (const FormatError&) {
    }
  }
  CHECK(n_read > 1000);
}

TEST_SUITE_END();
