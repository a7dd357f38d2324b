// SPDX-License-Identifier: MIT
// JSON (RFC 8259), read from front to back without building a tree, and its strings, written.
#pragma once

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "rwkv/core/error.hpp"
#include "rwkv/core/function_ref.hpp"
#include "rwkv/core/utf8.hpp"

RWKV_NAMESPACE_BEGIN

/// `text`, which must be UTF-8, as a JSON string with its quotes.
[[nodiscard]] inline std::string json_string(std::string_view text) {
  constexpr std::string_view special = "\"\\\b\f\n\r\t", letters = "\"\\bfnrt";
  constexpr char hex[] = "0123456789abcdef";
  std::string json = "\"";
  for (const char c : text) {
    if (const std::size_t i = special.find(c); i != special.npos) {
      json += '\\';
      json += letters[i];
    } else if (static_cast<unsigned char>(c) < 0x20) {
      json += "\\u00";
      json += hex[c >> 4];
      json += hex[c & 15];
    } else {
      json += c;
    }
  }
  return json += '"';
}

/// A position in a JSON text. The caller asks for the value that it expects next; anything else is a FormatError that
/// tells what was expected and what stands there, and so is whatever breaks the rules of JSON: bytes that are not
/// UTF-8, halves of surrogate pairs, texts after the end, nesting of more than max_depth.
///
/// `path` and `item` say in messages what is being read. They and the text must outlive the reader.
class JsonReader {
public:
  enum class Kind { object, list, string, number, truth_value, null };

  static constexpr int max_depth = 64;

  JsonReader(std::string_view path, std::string item, std::string_view text)
      : path_(path), item_(std::move(item)), text_(text) {
    if (!is_utf8(text_)) fail("is not UTF-8");
  }

  /// What messages call the part of the text that comes next.
  void set_item(std::string item) { item_ = std::move(item); }

  /// What comes next.
  [[nodiscard]] Kind kind() {
    const char first = next();
    switch (first) {
      case '{': return Kind::object;
      case '[': return Kind::list;
      case '"': return Kind::string;
      case 't':
      case 'f': return Kind::truth_value;
      case 'n': return Kind::null;
      default: break;
    }
    if (first != '-' && (first < '0' || first > '9')) fail_here();
    return Kind::number;
  }

  /// Calls on_member(name) for each member, in order; it must read the value or skip it. Names may occur twice.
  void object(FunctionRef<void(const std::string&)> on_member) {
    expect(Kind::object);
    items('}', [&] {
      expect(Kind::string);
      const std::string name = string();
      take(':');
      on_member(name);
    });
  }

  /// Calls on_element() for each element, in order; it must read the element or skip it.
  void list(FunctionRef<void()> on_element) {
    expect(Kind::list);
    items(']', on_element);
  }

  [[nodiscard]] std::string string() {
    expect(Kind::string);
    ++position_;
    std::string value;
    while (position_ < text_.size() && text_[position_] != '"') {
      const char c = text_[position_++];
      if (static_cast<unsigned char>(c) < 0x20) fail_here();
      if (c == '\\') {
        escape(value);
      } else {
        value += c;
      }
    }
    take('"');
    return value;
  }

  /// A number as it is written: -?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?
  [[nodiscard]] std::string_view number() {
    expect(Kind::number);
    const std::size_t begin = position_;
    const auto accept = [this](std::string_view characters) {
      const bool fits = position_ < text_.size() && characters.find(text_[position_]) != characters.npos;
      position_ += fits ? 1 : 0;
      return fits;
    };
    const auto digits = [&] {
      if (!accept("0123456789")) fail_here();
      while (accept("0123456789")) continue;
    };
    accept("-");
    if (!accept("0")) digits();
    if (accept(".")) digits();
    if (accept("eE")) {
      accept("+-");
      digits();
    }
    return text_.substr(begin, position_ - begin);
  }

  /// A number that is a whole one, not negative, below 2^64, and written as such.
  [[nodiscard]] std::uint64_t count() {
    const std::string_view digits = number();
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (error == std::errc{} && end == digits.data() + digits.size()) return value;
    fail("", "a count", std::string(digits.substr(0, 40)));
  }

  /// A number, as the nearest double. Those beyond the largest are refused.
  [[nodiscard]] double real() {
    const std::string_view text = number();
    double value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error == std::errc{}) return value;
    fail("", "a number that fits a double", std::string(text.substr(0, 40)));
  }

  [[nodiscard]] bool truth_value() {
    expect(Kind::truth_value);
    const bool value = text_[position_] == 't';
    word(value ? "true" : "false");
    return value;
  }

  /// Passes over the next value, whatever it is.
  void skip() {
    switch (kind()) {
      case Kind::object: return object([this](const std::string&) { skip(); });
      case Kind::list: return list([this] { skip(); });
      case Kind::string: return static_cast<void>(string());
      case Kind::truth_value: return static_cast<void>(truth_value());
      case Kind::null: return word("null");
      case Kind::number: return static_cast<void>(number());
    }
  }

  /// Throws if something other than white space follows.
  void end() {
    skip_space();
    if (position_ != text_.size()) fail_here();
  }

  /// Throws a FormatError about what is being read.
  [[noreturn]] void fail(std::string_view problem, std::string_view expected = {}, std::string_view found = {}) const {
    throw FormatError({path_, item_, problem, expected, found});
  }

private:
  [[noreturn]] void fail_here() const { fail("is not valid JSON at byte " + std::to_string(position_)); }

  void skip_space() noexcept { position_ = std::min(text_.find_first_not_of(" \t\n\r", position_), text_.size()); }

  [[nodiscard]] char next() {
    skip_space();
    if (position_ == text_.size()) fail_here();
    return text_[position_];
  }

  void take(char wanted) {
    if (next() != wanted) fail_here();
    ++position_;
  }

  void word(std::string_view wanted) {
    if (text_.substr(position_, wanted.size()) != wanted) fail_here();
    position_ += wanted.size();
  }

  void expect(Kind wanted) {
    constexpr const char* names[] = {"an object", "a list", "a string", "a number", "true or false", "null"};
    const Kind found = kind();
    if (found != wanted) fail("", names[static_cast<int>(wanted)], names[static_cast<int>(found)]);
  }

  /// What stands between brackets, separated by commas.
  void items(char closing, FunctionRef<void()> on_item) {
    if (++depth_ > max_depth) fail("is nested too deeply");
    ++position_;
    if (next() != closing) {
      on_item();
      while (next() == ',') {
        ++position_;
        on_item();
      }
    }
    take(closing);
    --depth_;
  }

  /// The meaning of an escape whose backslash has been read.
  void escape(std::string& value) {
    constexpr std::string_view letters = "\"\\/bfnrt", meanings = "\"\\/\b\f\n\r\t";
    const char letter = position_ < text_.size() ? text_[position_++] : '\0';
    if (letter != 'u') {
      const std::size_t i = letters.find(letter);
      if (i == letters.npos) fail_here();
      value += meanings[i];
      return;
    }
    char32_t code_point = hex4();
    if (code_point >= 0xd800 && code_point < 0xdc00) {  // the second half must follow
      word("\\u");
      const char32_t second = hex4();
      if (second < 0xdc00 || second >= 0xe000) fail_here();
      code_point = 0x10000 + ((code_point - 0xd800) << 10) + (second - 0xdc00);
    }
    if (!append_utf8(code_point, value)) fail_here();
  }

  [[nodiscard]] char32_t hex4() {
    const std::string_view digits = text_.substr(std::min(position_, text_.size()), 4);
    std::uint32_t value = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
    if (digits.size() != 4 || error != std::errc{} || end != digits.data() + 4) fail_here();
    position_ += 4;
    return value;
  }

  std::string_view path_;
  std::string item_;
  std::string_view text_;
  std::size_t position_ = 0;
  int depth_ = 0;
};

RWKV_NAMESPACE_END
