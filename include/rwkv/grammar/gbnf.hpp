// SPDX-License-Identifier: MIT
// Reads GBNF, the notation of grammars of llama.cpp.
#pragma once

#include <charconv>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "rwkv/core/error.hpp"
#include "rwkv/core/utf8.hpp"
#include "rwkv/grammar/code_points.hpp"
#include "rwkv/grammar/grammar_builder.hpp"
#include "rwkv/version.hpp"

RWKV_NAMESPACE_BEGIN

/// GBNF, as ggml-org/llama.cpp describes it in grammars/README.md:
///
///   name ::= ...            a rule; names are letters, digits, - and _; the text is what the rule "root" says
///   "text"                  with the escapes \n \r \t \\ \" \[ \] \- \^ \xHH \uHHHH \UHHHHHHHH, all of code points
///   [a-z_] [^"\\] .         a character of a set, outside of a set, any
///   a b    a | b    (a)     one after the other, one of both, a group
///   a* a+ a? a{2} a{2,} a{2,5}
///   # ...                   a comment, to the end of the line
///
/// White space and line ends may stand between all of these: a rule ends where the next one begins.
class GbnfReader {
public:
  static constexpr int max_depth = 200;  // of groups

  GbnfReader(std::string_view text, const std::string& path) : text_(text), path_(path), builder_(path) {}

  /// Throws FormatError with the line and column of what is wrong, and as GrammarBuilder::build.
  [[nodiscard]] RuleNetwork read() {
    if (!is_utf8(text_)) throw FormatError({.path = path_, .item = "grammar", .problem = "is not UTF-8"});
    skip_space();
    while (position_ < text_.size()) read_rule();
    for (const auto& [name, rule] : rules_) {
      if (rule.is_defined) continue;
      fail_at(rule.position, "rule " + in_quotes(name) + " is used and not defined");
    }
    const auto root = rules_.find("root");
    if (root == rules_.end()) {
      throw FormatError({.path = path_,
                         .item = "grammar",
                         .problem = "has no rule 'root'",
                         .hint = "It says what the whole text is: root ::= ..."});
    }
    return builder_.build(root->second.rule);
  }

private:
  using Part = GrammarBuilder::Part;

  struct NamedRule {
    GrammarBuilder::Rule rule;
    std::size_t position;  // where it was first named
    bool is_defined = false;
  };

  [[nodiscard]] std::string place(std::size_t position) const {
    std::size_t line = 1, column = 1;
    for (const char c : text_.substr(0, position)) {
      const bool is_continuation = (static_cast<unsigned char>(c) & 0xc0) == 0x80;
      column = c == '\n' ? 1 : column + (is_continuation ? 0 : 1);
      line += c == '\n' ? 1 : 0;
    }
    return "line " + std::to_string(line) + ", column " + std::to_string(column);
  }

  [[noreturn]] void fail_at(std::size_t position, std::string_view problem, std::string_view expected = {},
                            std::string_view found = {}) const {
    throw FormatError({path_, place(position), problem, expected, found});
  }

  /// Here stands something else than expected.
  [[noreturn]] void fail(std::string_view expected) const {
    const std::string_view rest = text_.substr(position_);
    const std::string found = rest.empty() ? "the end" : in_quotes(rest.substr(0, front_character(rest).n_bytes));
    fail_at(position_, {}, expected, found);
  }

  [[nodiscard]] char front() const noexcept { return position_ < text_.size() ? text_[position_] : '\0'; }

  [[nodiscard]] bool accept(std::string_view word) noexcept {
    if (!text_.substr(position_).starts_with(word)) return false;
    position_ += word.size();
    return true;
  }

  void skip_space() noexcept {
    while (position_ < text_.size()) {
      if (front() == '#') position_ = std::min(text_.find('\n', position_), text_.size());
      if (std::string_view(" \t\r\n").find(front()) == std::string_view::npos || position_ == text_.size()) return;
      ++position_;
    }
  }

  static constexpr bool is_name_character(char c) noexcept {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
  }

  [[nodiscard]] std::string_view name() noexcept {
    const std::size_t begin = position_;
    while (is_name_character(front())) ++position_;
    return text_.substr(begin, position_ - begin);
  }

  NamedRule& rule_named(std::string_view name, std::size_t position) {
    const auto [entry, is_new] = rules_.try_emplace(std::string(name), NamedRule{0, position});
    if (is_new) entry->second.rule = builder_.declare(std::string(name), place(position));
    return entry->second;
  }

  void read_rule() {
    const std::size_t begin = position_;
    const std::string_view rule_name = name();
    if (rule_name.empty()) fail("the name of a rule");
    NamedRule& rule = rule_named(rule_name, begin);
    if (rule.is_defined) fail_at(begin, "rule " + in_quotes(rule_name) + " is defined twice");
    rule.is_defined = true;
    skip_space();
    if (!accept("::=")) fail("::=");
    const Part part = choice();
    if (position_ < text_.size() && !is_name_character(front())) fail("a rule, or more of this one");
    builder_.define(rule.rule, part);
  }

  [[nodiscard]] Part choice() {
    if (++depth_ > max_depth) fail_at(position_, "groups are nested too deeply");
    std::vector<Part> parts;
    do {
      parts.push_back(sequence());
    } while (accept("|"));
    --depth_;
    return builder_.choice(parts);
  }

  [[nodiscard]] Part sequence() {
    std::vector<Part> parts;
    for (skip_space(); starts_item(); skip_space()) parts.push_back(repeated(item()));
    return builder_.sequence(parts);
  }

  [[nodiscard]] bool starts_item() {
    if (front() == '"' || front() == '[' || front() == '(' || front() == '.') return true;
    const std::size_t begin = position_;
    const bool is_name = !name().empty();
    skip_space();
    const bool is_definition = accept("::=");
    position_ = begin;
    return is_name && !is_definition;
  }

  [[nodiscard]] Part item() {
    const std::size_t begin = position_;
    if (accept("\"")) return literal(begin);
    if (accept("[")) return builder_.one_of(set(begin));
    if (accept(".")) return builder_.one_of(CodePoints::all());
    if (!accept("(")) {
      const std::string_view called = name();
      return builder_.call(rule_named(called, begin).rule);
    }
    const Part part = choice();
    if (!accept(")")) fail(")");
    return part;
  }

  [[nodiscard]] Part literal(std::size_t begin) {
    std::string bytes;
    while (!accept("\"")) {
      if (position_ == text_.size() || front() == '\n') fail_at(begin, "the text does not end", "\" on the same line");
      const std::size_t here = position_;
      if (!append_utf8(character(), bytes)) fail_at(here, "is no character: surrogates have no UTF-8");
    }
    return builder_.text(bytes);
  }

  [[nodiscard]] CodePoints set(std::size_t begin) {
    const bool is_negated = accept("^");
    CodePoints characters;
    while (!accept("]")) {
      if (position_ == text_.size() || front() == '\n') fail_at(begin, "the set does not end", "] on the same line");
      const std::size_t here = position_;
      const char32_t first = character();
      const bool is_range = front() == '-' && position_ + 1 < text_.size() && text_[position_ + 1] != ']';
      position_ += is_range ? 1 : 0;
      const char32_t last = is_range ? character() : first;
      if (last < first) fail_at(here, "the range ends before it begins");
      characters.add({first, last});
    }
    return is_negated ? characters.complement() : characters;
  }

  /// A character of a text or set, or the meaning of an escape.
  [[nodiscard]] char32_t character() {
    if (position_ == text_.size()) fail("a character");
    const std::size_t begin = position_;
    const Utf8Character plain = front_character(text_.substr(position_));
    position_ += plain.n_bytes;
    if (plain.code_point != '\\') return plain.code_point;
    constexpr std::string_view letters = "nrt\\\"[]-^", meanings = "\n\r\t\\\"[]-^";
    const char letter = front();
    ++position_;
    if (const std::size_t i = letters.find(letter); i != letters.npos) return static_cast<unsigned char>(meanings[i]);
    const std::size_t n_digits = letter == 'x' ? 2 : letter == 'u' ? 4 : letter == 'U' ? 8 : 0;
    const std::string_view digits = text_.substr(std::min(position_, text_.size()), n_digits);
    std::uint32_t value = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
    const bool is_whole = digits.size() == n_digits && end == digits.data() + digits.size();
    if (n_digits == 0 || !is_whole || error != std::errc{} || value > CodePoints::largest) {
      fail_at(begin, "is no escape", "one of \\n \\r \\t \\\\ \\\" \\[ \\] \\- \\^ \\xHH \\uHHHH \\UHHHHHHHH");
    }
    position_ += n_digits;
    return value;
  }

  /// How often; without `most` as often as one likes.
  struct Times {
    std::uint64_t least;
    std::optional<std::uint64_t> most;
  };

  [[nodiscard]] Part repeated(Part part) {
    std::optional<Times> inner = times();
    while (inner) {
      const std::optional<Times> outer = times(), both = outer ? joined(*inner, *outer) : outer;
      if (!both) part = builder_.repeat(part, inner->least, inner->most);
      inner = both ? both : outer;
    }
    return part;
  }

  /// What both say in one, if it can be said so: one text is then read in fewer ways. (x+)* is x*.
  [[nodiscard]] static std::optional<Times> joined(const Times& inner, const Times& outer) {
    if (inner.least <= 1 && !inner.most && outer.most != 0) return Times{inner.least * outer.least, {}};
    if (inner.least == 0 && inner.most == 1) return Times{0, outer.most};
    return {};
  }

  /// What stands behind an item: *, +, ? or {}.
  [[nodiscard]] std::optional<Times> times() {
    skip_space();
    const std::size_t begin = position_;
    if (accept("*")) return Times{0, {}};
    if (accept("+")) return Times{1, {}};
    if (accept("?")) return Times{0, 1};
    if (!accept("{")) return {};
    Times result{number(), {}};
    result.most = result.least;
    if (accept(",")) {
      skip_space();
      result.most.reset();
      if (front() != '}') result.most = number();
    }
    if (!accept("}")) fail("}");
    if (result.most && *result.most < result.least) fail_at(begin, "the most is less than the least");
    return result;
  }

  [[nodiscard]] std::uint64_t number() {
    skip_space();
    const std::string_view rest = text_.substr(position_);
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), value);
    if (error == std::errc::result_out_of_range) fail_at(position_, "the number is too large");
    if (error != std::errc{}) fail("a number");
    position_ += static_cast<std::size_t>(end - rest.data());
    skip_space();
    return value;
  }

  std::string_view text_;
  std::string path_;
  GrammarBuilder builder_;
  std::map<std::string, NamedRule, std::less<>> rules_;
  std::size_t position_ = 0;
  int depth_ = 0;
};

RWKV_NAMESPACE_END
