// SPDX-License-Identifier: MIT
// The words that byte pair encoding works on, as GPT-2 splits a text.
#pragma once

#include <cstddef>
#include <string_view>

#include "rwkv/core/utf8.hpp"
#include "rwkv/text/character_kind.hpp"
#include "rwkv/version.hpp"

RWKV_NAMESPACE_BEGIN

/// What the regular expression of GPT-2 matches at the front of `text`, which must not be empty:
///
///   's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
///
/// It is never empty, so that the words of a text are all of the text. Bytes that are not UTF-8 count as characters of
/// the third kind. Takes time in proportion to the word. Source: encoder.py (openai/gpt-2), the pre-tokenizer ByteLevel
/// (huggingface/tokenizers).
[[nodiscard]] constexpr std::string_view first_gpt2_word(std::string_view text) noexcept {
  for (const std::string_view ending : {"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"}) {
    if (text.starts_with(ending)) return text.substr(0, ending.size());
  }
  const auto kind_at = [text](std::size_t i) { return character_kind(front_character(text.substr(i)).code_point); };
  const bool has_space = text.size() > 1 && text[0] == ' ' && kind_at(1) != CharacterKind::white_space;
  const std::size_t begin = has_space ? 1 : 0;
  const CharacterKind kind = kind_at(begin);
  std::size_t last = begin, end = begin;  // of the last character
  while (end < text.size()) {
    const Utf8Character character = front_character(text.substr(end));
    if (character_kind(character.code_point) != kind) break;
    last = end;
    end += character.n_bytes;
  }
  // White space leaves its last character to the word after it, if it has more than one.
  if (kind == CharacterKind::white_space && end < text.size() && last > 0) end = last;
  return text.substr(0, end);
}

RWKV_NAMESPACE_END
