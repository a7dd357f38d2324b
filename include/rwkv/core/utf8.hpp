// SPDX-License-Identifier: MIT
// UTF-8 that arrives in pieces: tokens may end inside a character, text must not.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "rwkv/version.hpp"

RWKV_NAMESPACE_BEGIN

/// Reads UTF-8 byte by byte; accepts exactly the sequences of table 3-7 of the Unicode Standard: no overlong forms, no
/// surrogates, nothing above U+10FFFF.
class Utf8Automaton {
public:
  /// What a byte did to the sequence it belongs to. After `complete` and `invalid` the next byte starts a new one.
  enum class Step { complete, incomplete, invalid };

  constexpr Step step(char c) noexcept {
    const auto byte = static_cast<unsigned char>(c);
    if (n_missing_ == 0) return start(byte);
    const bool fits = byte >= lowest_ && byte <= highest_;
    n_missing_ = fits ? n_missing_ - 1 : 0;
    lowest_ = 0x80;
    highest_ = 0xbf;
    if (!fits) return Step::invalid;
    return n_missing_ == 0 ? Step::complete : Step::incomplete;
  }

  /// Whether a sequence has begun and not ended.
  [[nodiscard]] constexpr bool is_inside() const noexcept { return n_missing_ != 0; }

private:
  constexpr Step start(unsigned char byte) noexcept {
    if (byte < 0x80) return Step::complete;
    if (byte < 0xc2 || byte > 0xf4) return Step::invalid;
    n_missing_ = byte < 0xe0 ? 1 : byte < 0xf0 ? 2 : 3;
    if (byte == 0xe0) lowest_ = 0xa0;   // below: overlong
    if (byte == 0xed) highest_ = 0x9f;  // above: surrogates
    if (byte == 0xf0) lowest_ = 0x90;   // below: overlong
    if (byte == 0xf4) highest_ = 0x8f;  // above: beyond U+10FFFF
    return Step::incomplete;
  }

  int n_missing_ = 0;
  unsigned char lowest_ = 0x80, highest_ = 0xbf;  // of the next byte of a sequence that has begun
};

/// Turns a stream of bytes into valid UTF-8: a sequence is held back until it is complete (at most 3 bytes), and what
/// cannot become one is replaced by U+FFFD, one for each maximal part of a sequence (the Unicode Standard, section 3.9,
/// and the WHATWG Encoding Standard), so that Python's bytes.decode("utf-8", "replace") gives the same text.
///
/// A value: copy it together with the state of a generation to fork both.
class Utf8Stream {
public:
  /// Appends to `text` all that `bytes` completes.
  void push(std::string_view bytes, std::string& text) {
    for (const char byte : bytes) {
      const bool was_inside = automaton_.is_inside();
      Utf8Automaton::Step step = automaton_.step(byte);
      if (step == Utf8Automaton::Step::invalid && was_inside) {  // the sequence broke off, and `byte` may start another
        replace(text);
        step = automaton_.step(byte);
      }
      if (step == Utf8Automaton::Step::invalid) {
        replace(text);
        continue;
      }
      held_[n_held_++] = byte;
      if (step == Utf8Automaton::Step::complete) {
        text.append(held_, n_held_);
        n_held_ = 0;
      }
    }
  }

  /// The end of the stream: appends U+FFFD if a sequence is still incomplete. The stream is then as new.
  void flush(std::string& text) {
    if (automaton_.is_inside()) replace(text);
    *this = Utf8Stream();
  }

  /// The bytes held back.
  [[nodiscard]] std::string_view held() const noexcept { return {held_, n_held_}; }

private:
  void replace(std::string& text) {
    text += "\xef\xbf\xbd";
    n_held_ = 0;
  }

  Utf8Automaton automaton_;
  char held_[4] = {};
  std::size_t n_held_ = 0;
};

/// `bytes` with everything that is not UTF-8 replaced by U+FFFD, as by Utf8Stream.
[[nodiscard]] inline std::string to_utf8(std::string_view bytes) {
  std::string text;
  text.reserve(bytes.size());
  Utf8Stream stream;
  stream.push(bytes, text);
  stream.flush(text);
  return text;
}

[[nodiscard]] constexpr bool is_utf8(std::string_view bytes) noexcept {
  Utf8Automaton automaton;
  for (const char byte : bytes) {
    if (automaton.step(byte) == Utf8Automaton::Step::invalid) return false;
  }
  return !automaton.is_inside();
}

/// Appends a code point as UTF-8. Returns false, and appends nothing, for surrogates and above U+10FFFF.
constexpr bool append_utf8(char32_t code_point, std::string& text) {
  if (code_point > 0x10ffff || (code_point >= 0xd800 && code_point < 0xe000)) return false;
  const auto put = [&text](char32_t byte) { text += static_cast<char>(static_cast<unsigned char>(byte)); };
  const int n_more = code_point < 0x80 ? 0 : code_point < 0x800 ? 1 : code_point < 0x10000 ? 2 : 3;
  constexpr char32_t lead[] = {0x00, 0xc0, 0xe0, 0xf0};
  put(lead[n_more] | (code_point >> (6 * n_more)));
  for (int i = n_more - 1; i >= 0; --i) put(0x80 | ((code_point >> (6 * i)) & 0x3f));
  return true;
}

/// A character of a text: its code point, and how many bytes it takes.
struct Utf8Character {
  char32_t code_point;
  std::size_t n_bytes;
};

/// not_utf8 + byte stands for a byte that is no part of a character: no code point is that large.
inline constexpr char32_t not_utf8 = 0x110000;

/// The character at the front of `text`, which must not be empty.
[[nodiscard]] constexpr Utf8Character front_character(std::string_view text) noexcept {
  Utf8Automaton automaton;
  const auto lead = static_cast<unsigned char>(text[0]);
  char32_t code_point = lead < 0x80 ? lead : lead < 0xe0 ? lead & 0x1f : lead < 0xf0 ? lead & 0x0f : lead & 0x07;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (i > 0) code_point = (code_point << 6) | (static_cast<unsigned char>(text[i]) & 0x3f);
    const Utf8Automaton::Step step = automaton.step(text[i]);
    if (step == Utf8Automaton::Step::complete) return {code_point, i + 1};
    if (step == Utf8Automaton::Step::invalid) break;
  }
  return {not_utf8 + lead, 1};
}

RWKV_NAMESPACE_END
