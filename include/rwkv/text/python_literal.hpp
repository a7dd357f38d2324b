// SPDX-License-Identifier: MIT
// The string literals of Python, as far as vocabulary files use them. Nothing is evaluated.
#pragma once

#include <charconv>
#include <optional>
#include <string>
#include <string_view>

#include "rwkv/core/utf8.hpp"
#include "rwkv/version.hpp"

RWKV_NAMESPACE_BEGIN

namespace detail {

/// Takes exactly `n_digits` hexadecimal digits from the front of `text`, or nothing.
[[nodiscard]] inline std::optional<char32_t> take_hex(std::string_view& text, std::size_t n_digits) {
  const std::string_view digits = text.substr(0, n_digits);
  unsigned value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
  if (digits.size() < n_digits || error != std::errc{} || end != digits.data() + digits.size()) return std::nullopt;
  text.remove_prefix(n_digits);
  return value;
}

/// Takes an escape, whose backslash is gone, from the front of `text` and appends its meaning.
/// Returns null, or what was expected instead.
[[nodiscard]] inline const char* take_escape(std::string_view& text, bool is_bytes, std::string& out) {
  using namespace std::string_view_literals;
  constexpr std::string_view names = "tnr\\'\"abfv0", meanings = "\t\n\r\\'\"\a\b\f\v\0"sv;
  constexpr const char* expected = R"(one of the escapes \t \n \r \\ \' \" \a \b \f \v \0 \xNN \uNNNN \UNNNNNNNN)";
  if (text.empty()) return expected;
  const char name = text.front();
  text.remove_prefix(1);
  if (const std::size_t i = names.find(name); i != names.npos) {
    if (name == '0' && !text.empty() && text.front() >= '0' && text.front() <= '7') return "no octal escapes";
    out += meanings[i];
    return nullptr;
  }
  if (name != 'x' && (is_bytes || (name != 'u' && name != 'U'))) return expected;
  const std::optional<char32_t> value = take_hex(text, name == 'x' ? 2 : name == 'u' ? 4 : 8);
  if (!value) return expected;
  if (is_bytes) {
    out += static_cast<char>(static_cast<unsigned char>(*value));
    return nullptr;
  }
  return append_utf8(*value, out) ? nullptr : "a code point that UTF-8 can encode";
}

}  // namespace detail

/// Appends the bytes of a `'str'` (as UTF-8) or `b'bytes'` literal with either kind of quotes, without other prefixes.
///
/// As in Python, `\xNN` is the code point U+00NN in a str and the byte NN in bytes. Stricter than Python: an escape
/// that Python does not know, an octal one, a raw control character, and `\u` in bytes are refused. Returns null, or
/// what was expected and not found: a constant text. `out` may then have grown.
[[nodiscard]] inline const char* append_python_literal(std::string_view literal, std::string& out) {
  const bool is_bytes = literal.starts_with('b');
  if (is_bytes) literal.remove_prefix(1);
  if (!literal.starts_with('\'') && !literal.starts_with('"')) return "a quoted string or bytes literal";
  if (!is_utf8(literal)) return "UTF-8";
  const char quote = literal.front();
  literal.remove_prefix(1);
  while (!literal.empty() && literal.front() != quote) {
    const char c = literal.front();
    const auto byte = static_cast<unsigned char>(c);
    literal.remove_prefix(1);
    if (c == '\\') {
      if (const char* expected = detail::take_escape(literal, is_bytes, out)) return expected;
    } else if (byte < 0x20 || byte == 0x7f) {
      return "no raw control characters in a literal";
    } else if (byte >= 0x80 && is_bytes) {
      return "only ASCII in a bytes literal";
    } else {
      out += c;
    }
  }
  if (literal.empty()) return "a closing quote";
  return literal.size() == 1 ? nullptr : "nothing after the closing quote";
}

RWKV_NAMESPACE_END
