// SPDX-License-Identifier: MIT
// The alphabet in which files of GPT-2 and its heirs write bytes: a printable character for each.
#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <string_view>

#include "rwkv/core/utf8.hpp"
#include "rwkv/version.hpp"

RWKV_NAMESPACE_BEGIN

/// The character for each byte: the printable ones of Latin-1 stand for themselves, the 68 others, in order, are
/// U+0100, U+0101, ...: the space is U+0120. Source: bytes_to_unicode in encoder.py (openai/gpt-2).
inline constexpr std::array<char32_t, 256> byte_alphabet = [] {
  std::array<char32_t, 256> alphabet{};
  char32_t next = 0x100;
  for (char32_t byte = 0; byte < 256; ++byte) {
    const bool is_printable = (byte > 0x20 && byte < 0x7f) || (byte > 0xa0 && byte != 0xad);
    alphabet[byte] = is_printable ? byte : next++;
  }
  return alphabet;
}();

/// Appends the bytes that a text in this alphabet stands for. Returns false, and appends nothing, if it has any other
/// characters.
[[nodiscard]] inline bool append_from_byte_alphabet(std::string_view text, std::string& bytes) {
  constexpr std::size_t n_characters = 0x100 + 68;
  constexpr auto bytes_of = [] {
    std::array<int, n_characters> inverse{};
    for (int& byte : inverse) byte = -1;
    for (std::size_t byte = 0; byte < 256; ++byte) inverse[byte_alphabet[byte]] = static_cast<int>(byte);
    return inverse;
  }();
  const std::size_t size = bytes.size();
  while (!text.empty()) {
    const Utf8Character character = front_character(text);
    if (character.code_point >= n_characters || bytes_of[character.code_point] < 0) {
      bytes.resize(size);
      return false;
    }
    bytes += static_cast<char>(static_cast<unsigned char>(bytes_of[character.code_point]));
    text.remove_prefix(character.n_bytes);
  }
  return true;
}

RWKV_NAMESPACE_END
