// SPDX-License-Identifier: MIT
// JSON (RFC 8259) as parts of a grammar.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "rwkv/core/json.hpp"
#include "rwkv/core/json_value.hpp"
#include "rwkv/core/utf8.hpp"
#include "rwkv/grammar/code_points.hpp"
#include "rwkv/grammar/grammar_builder.hpp"
#include "rwkv/version.hpp"

RWKV_NAMESPACE_BEGIN

/// The JSON that is generated, a part of all JSON that every reader understands in the same way:
///
/// - between values there may be one space after a comma and after a colon, and nothing else;
/// - strings are whole characters of UTF-8, with all escapes of RFC 8259 but halves of surrogate pairs that stand
/// alone;
/// - numbers have up to 15 digits before the point, up to 15 behind it, and exponents of up to two digits, so that
///   they fit a double.
class JsonGrammar {
public:
  using Part = GrammarBuilder::Part;
  using Rule = GrammarBuilder::Rule;

  static constexpr std::uint64_t n_digits = 15;

  explicit JsonGrammar(GrammarBuilder& builder) : builder_(builder) {}

  [[nodiscard]] Part comma() { return spaced(","); }
  [[nodiscard]] Part colon() { return spaced(":"); }

  /// Elements in brackets, all by one rule, `least` to `most` of them.
  [[nodiscard]] Part list(Rule element, std::uint64_t least = 0, std::optional<std::uint64_t> most = {}) {
    if (most == 0) return builder_.text("[]");
    const auto fewer = [](std::uint64_t n) { return n > 0 ? n - 1 : 0; };
    const Part more = builder_.sequence({comma(), builder_.call(element)});
    Part elements =
        builder_.sequence({builder_.call(element),
                           builder_.repeat(more, fewer(least), most ? std::optional(fewer(*most)) : std::nullopt)});
    if (least == 0) elements = builder_.optional(elements);
    return builder_.sequence({builder_.text("["), elements, builder_.text("]")});
  }

  /// A string that is none of `others`. Where it begins as one of them, it is written without escapes that need not be:
  /// what is compared is then what is written.
  [[nodiscard]] Part string_other_than(const std::vector<std::string>& others);

  [[nodiscard]] Part string(std::uint64_t least = 0, std::optional<std::uint64_t> most = {}) {
    return quoted(builder_.repeat(builder_.call(string_character()), least, most));
  }

  /// One of these characters, as it is written in a string: as it is, or with its shortest escape.
  [[nodiscard]] Part one_of(const CodePoints& characters) {
    std::vector<Part> ways{builder_.one_of(characters.without({{0, 0x1f}, {'"', '"'}, {'\\', '\\'}}))};
    for (const CodePoints::Range& range : characters.ranges()) {
      for (char32_t c = range.first; c <= range.last && c <= '\\'; ++c) {
        if (c < 0x20 || c == '"' || c == '\\') ways.push_back(builder_.text(written(static_cast<char>(c))));
      }
    }
    return builder_.choice(ways);
  }

  [[nodiscard]] Part quoted(Part part) { return builder_.sequence({builder_.text("\""), part, builder_.text("\"")}); }

  [[nodiscard]] Part integer() { return builder_.sequence({builder_.optional(builder_.text("-")), whole()}); }

  [[nodiscard]] Part number() {
    const Part fraction = builder_.sequence({builder_.text("."), digits(1, n_digits)});
    const Part sign = builder_.optional(builder_.one_of({{'+', '+'}, {'-', '-'}}));
    const Part exponent = builder_.sequence({builder_.one_of({{'E', 'E'}, {'e', 'e'}}), sign, digits(1, 2)});
    return builder_.sequence({integer(), builder_.optional(fraction), builder_.optional(exponent)});
  }

  [[nodiscard]] Part digits(std::uint64_t least, std::uint64_t most) {
    return builder_.repeat(builder_.one_of({{'0', '9'}}), least, most);
  }

  /// Any value.
  [[nodiscard]] Part any() {
    if (!any_) {
      any_ = builder_.declare("any JSON");
      const Part word = builder_.choice({builder_.text("true"), builder_.text("false"), builder_.text("null")});
      builder_.define(*any_, builder_.choice({any_object(), list(*any_), string(), number(), word}));
    }
    return builder_.call(*any_);
  }
  [[nodiscard]] Part any_object() {
    static_cast<void>(any());
    const auto member = [this] { return builder_.sequence({string(), colon(), builder_.call(*any_)}); };
    const Part more = builder_.repeat(builder_.sequence({comma(), member()}), 0, {});
    return builder_.sequence(
        {builder_.text("{"), builder_.optional(builder_.sequence({member(), more})), builder_.text("}")});
  }

  /// This value and no other.
  [[nodiscard]] Part constant(const JsonValue& value);

private:
  [[nodiscard]] Part spaced(std::string_view mark) {
    return builder_.sequence({builder_.text(mark), builder_.optional(builder_.text(" "))});
  }

  [[nodiscard]] Part whole() {
    const Part more = builder_.sequence({builder_.one_of({{'1', '9'}}), digits(0, n_digits - 1)});
    return builder_.choice({builder_.text("0"), more});
  }

  /// A character as json_string writes it, without the quotes.
  static std::string written(char c) {
    const std::string json = json_string({&c, 1});
    return json.substr(1, json.size() - 2);
  }

  [[nodiscard]] Part any_character() {
    const auto hex = [this](CodePoints digits) { return builder_.one_of(digits); };
    const CodePoints all{{'0', '9'}, {'a', 'f'}, {'A', 'F'}};
    const auto d = [&] { return hex({{'d', 'd'}, {'D', 'D'}}); };
    const Part not_d = builder_.sequence({hex(all.without({{'d', 'd'}, {'D', 'D'}})), hex(all)});
    const Part low_d = builder_.sequence({d(), hex({{'0', '7'}})});
    const Part code = builder_.sequence({builder_.text("\\u"), builder_.choice({not_d, low_d}), hex(all), hex(all)});
    const Part high = builder_.sequence({builder_.text("\\u"), d(), hex({{'8', '9'}, {'a', 'b'}, {'A', 'B'}})});
    const Part low = builder_.sequence({builder_.text("\\u"), d(), hex({{'c', 'f'}, {'C', 'F'}})});
    const Part pair = builder_.sequence({high, hex(all), hex(all), low, hex(all), hex(all)});
    CodePoints letters;
    for (const char c : std::string_view("\"\\/bfnrt"))
      letters.add({static_cast<char32_t>(c), static_cast<char32_t>(c)});
    const Part escape = builder_.sequence({builder_.text("\\"), builder_.one_of(letters)});
    const Part plain = builder_.one_of(CodePoints{{0, 0x1f}, {'"', '"'}, {'\\', '\\'}}.complement());
    return builder_.choice({plain, escape, code, pair});
  }

  [[nodiscard]] Rule string_character() {
    if (!character_) character_ = builder_.make_rule(any_character());
    return *character_;
  }

  GrammarBuilder& builder_;
  std::optional<Rule> character_, any_;
};

inline JsonGrammar::Part JsonGrammar::string_other_than(const std::vector<std::string>& others) {
  std::vector<std::u32string> names;
  for (const std::string& other : others) {
    std::u32string& name = names.emplace_back();
    for (std::string_view rest = other; !rest.empty(); rest.remove_prefix(front_character(rest).n_bytes)) {
      name += front_character(rest).code_point;
    }
  }
  std::ranges::sort(names);
  struct Prefix {
    std::size_t begin, end, n;  // names that share their first n characters
    Rule rule;                  // what may follow those
  };
  std::vector<Prefix> prefixes{{0, names.size(), 0, builder_.declare()}};
  const Rule whole = prefixes[0].rule;
  for (std::size_t i = 0; i < prefixes.size(); ++i) {  // grows while it runs
    auto [begin, end, n, rule] = prefixes[i];
    std::vector<Part> ways;
    if (begin < end && names[begin].size() == n) {
      ++begin;
    } else {
      ways.push_back(builder_.empty());
    }
    CodePoints followers;
    while (begin < end) {
      const std::size_t first = begin;
      const char32_t follower = names[first][n];
      while (begin < end && names[begin][n] == follower) ++begin;
      followers.add({follower, follower});
      prefixes.push_back({first, begin, n + 1, builder_.declare()});
      ways.push_back(builder_.sequence({one_of({{follower, follower}}), builder_.call(prefixes.back().rule)}));
    }
    const Part more = builder_.repeat(builder_.call(string_character()), 0, {});
    ways.push_back(builder_.sequence({one_of(followers.complement()), more}));
    builder_.define(rule, builder_.choice(ways));
  }
  return quoted(builder_.call(whole));
}

inline JsonGrammar::Part JsonGrammar::constant(const JsonValue& value) {
  switch (value.kind) {
    case JsonValue::Kind::null: return builder_.text("null");
    case JsonValue::Kind::truth_value:
    case JsonValue::Kind::number: return builder_.text(value.text);
    case JsonValue::Kind::string: return builder_.text(json_string(value.text));
    default: break;
  }
  const bool is_object = value.kind == JsonValue::Kind::object;
  std::vector<Part> parts{builder_.text(is_object ? "{" : "[")};
  for (std::size_t i = 0; i < value.values.size(); ++i) {
    if (i > 0) parts.push_back(comma());
    if (is_object) parts.push_back(builder_.sequence({builder_.text(json_string(value.names[i])), colon()}));
    parts.push_back(constant(value.values[i]));
  }
  parts.push_back(builder_.text(is_object ? "}" : "]"));
  return builder_.sequence(parts);
}

RWKV_NAMESPACE_END
