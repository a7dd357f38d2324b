// SPDX-License-Identifier: MIT
// Regular expressions, as JSON Schema has them, as parts of a grammar.
#pragma once

#include <charconv>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "rwkv/core/error.hpp"
#include "rwkv/core/utf8.hpp"
#include "rwkv/grammar/code_points.hpp"
#include "rwkv/grammar/grammar_builder.hpp"
#include "rwkv/grammar/json_grammar.hpp"
#include "rwkv/version.hpp"

RWKV_NAMESPACE_BEGIN

/// A part of the regular expressions of ECMA-262, over characters:
///
///   a  .  [a-z]  [^a-z]  \d \D \w \W \s \S     a character; . is none that ends a line
///   \t \n \r \f \v \0 \xHH \uHHHH \/ \. ...    escapes
///   ab  a|b  (a)  (?:a)  (?<name>a)
///   a* a+ a? a{2} a{2,} a{2,5}                 a ? behind changes nothing: what fits is the same
///   ^ $                                        at the beginning and at the end of the alternatives of the whole
///
/// As in JSON Schema, what is not anchored may stand anywhere in the string. All else is an UnsupportedError: backward
/// references, looking ahead and behind, `\b`, `\p{...}`.
class PatternGrammar {
public:
  using Part = GrammarBuilder::Part;

  static constexpr int max_depth = 100;  // of groups

  /// `item` says in messages whose pattern it is.
  PatternGrammar(GrammarBuilder& builder, JsonGrammar& json, std::string_view pattern, std::string item)
      : builder_(builder), json_(json), pattern_(pattern), item_(std::move(item)) {}

  /// What may stand between the quotes of a JSON string, with the escapes that must be and no others.
  [[nodiscard]] Part read() {
    std::vector<Part> ways;
    do {
      const Part before = accept("^") ? builder_.empty() : anything();
      const Part middle = sequence();
      const Part after = accept("$") ? builder_.empty() : anything();
      ways.push_back(builder_.sequence({before, middle, after}));
    } while (accept("|"));
    if (position_ < pattern_.size()) refuse("here");
    return builder_.choice(ways);
  }

private:
  [[noreturn]] void refuse(std::string_view what) const {
    const std::string_view rest = pattern_.substr(std::min(position_, pattern_.size()));
    throw UnsupportedError(
        {.path = builder_.path(),
         .item = in_quotes(item_),
         .problem = "the pattern " + in_quotes(pattern_) + " is not supported",
         .found = (rest.empty() ? "its end" : in_quotes(rest.substr(0, 10))) + " " + std::string(what)});
  }

  [[nodiscard]] char front() const noexcept { return position_ < pattern_.size() ? pattern_[position_] : '\0'; }

  [[nodiscard]] bool accept(std::string_view word) noexcept {
    if (!pattern_.substr(position_).starts_with(word)) return false;
    position_ += word.size();
    return true;
  }

  [[nodiscard]] Part anything() { return builder_.repeat(json_.one_of(CodePoints::all()), 0, {}); }

  [[nodiscard]] Part choice() {
    if (++depth_ > max_depth) refuse("is too deep");
    std::vector<Part> ways;
    do {
      ways.push_back(sequence());
    } while (accept("|"));
    --depth_;
    return builder_.choice(ways);
  }

  [[nodiscard]] Part sequence() {
    std::vector<Part> parts;
    while (position_ < pattern_.size() && front() != '|' && front() != ')' && front() != '$') {
      parts.push_back(repeated(atom()));
    }
    return builder_.sequence(parts);
  }

  [[nodiscard]] Part atom() {
    if (accept("(")) {
      if (accept("?<")) {
        if (front() == '=' || front() == '!') refuse("behind ?<");
        position_ = std::min(pattern_.find('>', position_), pattern_.size());
        if (!accept(">")) refuse("where something should follow");
      } else if (!accept("?:") && front() == '?') {
        refuse("in a group");
      }
      const Part part = choice();
      if (!accept(")")) refuse("in a group");
      return part;
    }
    if (accept("[")) return json_.one_of(set());
    if (accept(".")) return json_.one_of(line_ends().complement());
    if (std::string_view("^*+?{}]").find(front()) != std::string_view::npos) refuse("here");
    return json_.one_of(character());
  }

  static CodePoints line_ends() { return {{'\n', '\n'}, {'\r', '\r'}, {0x2028, 0x2029}}; }

  [[nodiscard]] CodePoints set() {
    const bool is_negated = accept("^");
    CodePoints characters;
    while (!accept("]")) {
      if (position_ == pattern_.size()) refuse("in a set");
      CodePoints one = character();
      if (front() == '-' && position_ + 1 < pattern_.size() && pattern_[position_ + 1] != ']') {
        ++position_;
        const CodePoints last = character();
        const bool is_range = is_single(one) && is_single(last) && one.ranges()[0].first <= last.ranges()[0].first;
        if (!is_range) refuse("behind a range that is none");
        one.add({one.ranges()[0].first, last.ranges()[0].first});
      }
      characters.add(one);
    }
    return is_negated ? characters.complement() : characters;
  }

  static bool is_single(const CodePoints& set) noexcept {
    return set.ranges().size() == 1 && set.ranges()[0].first == set.ranges()[0].last;
  }

  /// A character, or what an escape stands for.
  [[nodiscard]] CodePoints character() {
    if (position_ == pattern_.size()) refuse("where something should follow");
    const Utf8Character plain = front_character(pattern_.substr(position_));
    if (plain.code_point != '\\') {
      position_ += plain.n_bytes;
      return {{plain.code_point, plain.code_point}};
    }
    const char letter = position_ + 1 < pattern_.size() ? pattern_[position_ + 1] : '\0';
    CodePoints set = class_of(letter);
    if (const std::size_t i = std::string_view("tnrfv0").find(letter); i != std::string_view::npos) {
      const auto code_point = static_cast<char32_t>("\t\n\r\f\v\0"[i]);
      set.add({code_point, code_point});
    }
    if (std::string_view("^$\\.*+?()[]{}|/-\"'#,:;@!%&=<>~`_ ").find(letter) != std::string_view::npos) {
      set.add({static_cast<char32_t>(letter), static_cast<char32_t>(letter)});
    }
    if (letter == 'x' || letter == 'u') return {code_point(letter == 'x' ? 2 : 4)};
    if (set.ranges().empty()) refuse("is no escape that it knows");
    position_ += 2;
    return set;
  }

  [[nodiscard]] CodePoints::Range code_point(std::size_t n_digits) {
    const std::string_view digits = pattern_.substr(std::min(position_ + 2, pattern_.size()), n_digits);
    std::uint32_t value = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
    if (digits.size() != n_digits || error != std::errc{} || end != digits.data() + n_digits) refuse("is no escape");
    if (value >= 0xd800 && value < 0xe000) refuse("is half a character");
    position_ += 2 + n_digits;
    return {value, value};
  }

  /// \d \w \s and their complements; empty for other letters.
  static CodePoints class_of(char letter) {
    const CodePoints digits{{'0', '9'}};
    const CodePoints words{{'0', '9'}, {'A', 'Z'}, {'a', 'z'}, {'_', '_'}};
    const CodePoints spaces{{'\t', '\r'},     {' ', ' '},       {0xa0, 0xa0},     {0x1680, 0x1680}, {0x2000, 0x200a},
                            {0x2028, 0x2029}, {0x202f, 0x202f}, {0x205f, 0x205f}, {0x3000, 0x3000}, {0xfeff, 0xfeff}};
    switch (letter) {
      case 'd': return digits;
      case 'D': return digits.complement();
      case 'w': return words;
      case 'W': return words.complement();
      case 's': return spaces;
      case 'S': return spaces.complement();
      default: return {};
    }
  }

  [[nodiscard]] Part repeated(Part part) {
    std::uint64_t least = 0;
    std::optional<std::uint64_t> most;
    if (accept("+")) {
      least = 1;
    } else if (accept("?")) {
      most = 1;
    } else if (accept("{")) {
      least = number();
      most = least;
      if (accept(",")) most = front() == '}' ? std::nullopt : std::optional(number());
      if (!accept("}") || (most && *most < least)) refuse("behind a number of times that is none");
    } else if (!accept("*")) {
      return part;
    }
    static_cast<void>(accept("?"));
    if (std::string_view("*+?{").find(front()) != std::string_view::npos && front() != '\0')
      refuse("behind a repetition");
    return builder_.repeat(part, least, most);
  }

  [[nodiscard]] std::uint64_t number() {
    const std::string_view rest = pattern_.substr(position_);
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), value);
    if (error != std::errc{}) refuse("where a number should stand");
    position_ += static_cast<std::size_t>(end - rest.data());
    return value;
  }

  GrammarBuilder& builder_;
  JsonGrammar& json_;
  std::string_view pattern_;
  std::string item_;
  std::size_t position_ = 0;
  int depth_ = 0;
};

RWKV_NAMESPACE_END
