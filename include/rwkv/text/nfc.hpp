// SPDX-License-Identifier: MIT
// Unicode normalisation form C: one spelling for what looks the same, the shortest one.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "rwkv/core/utf8.hpp"
#include "rwkv/text/character_kind.hpp"
#include "rwkv/text/unicode_tables.hpp"
#include "rwkv/version.hpp"

RWKV_NAMESPACE_BEGIN

namespace detail {

/// The syllables of Hangul are numbered by their parts, section 3.12 of the Unicode Standard: leading consonant, vowel,
/// trailing consonant; the first of the trailing ones is none.
struct Hangul {
  static constexpr char32_t syllables = 0xac00, leads = 0x1100, vowels = 0x1161, trails = 0x11a7;
  static constexpr char32_t n_leads = 19, n_vowels = 21, n_trails = 28, n_syllables = n_leads * n_vowels * n_trails;

  /// Two parts of a syllable, or a syllable without a trailing consonant and one, in one.
  static constexpr std::optional<char32_t> compose(char32_t first, char32_t second) noexcept {
    if (first - leads < n_leads && second - vowels < n_vowels) {  // below the first of them: the difference is large
      return syllables + ((first - leads) * n_vowels + (second - vowels)) * n_trails;
    }
    const bool has_no_trail = first - syllables < n_syllables && (first - syllables) % n_trails == 0;
    if (has_no_trail && second > trails && second - trails < n_trails) return first + (second - trails);
    return std::nullopt;
  }
};

/// Below this, no character has a decomposition, a combining class, or is the second of a composition.
inline constexpr char32_t first_decomposition = 0xc0, first_mark = 0x300;

[[nodiscard]] constexpr std::uint32_t combining_class(char32_t c) noexcept {
  return c < first_mark || c >= not_utf8 ? 0 : value_at(combining_class_changes, c);
}

/// Appends what a character is made of.
inline void decompose(char32_t c, std::u32string& characters) {
  if (const char32_t i = c - Hangul::syllables; i < Hangul::n_syllables) {
    characters += Hangul::leads + i / (Hangul::n_vowels * Hangul::n_trails);
    characters += Hangul::vowels + i / Hangul::n_trails % Hangul::n_vowels;
    if (i % Hangul::n_trails != 0) characters += Hangul::trails + i % Hangul::n_trails;
    return;
  }
  const std::span<const Decomposition> all = decompositions;
  const auto found = c < first_decomposition ? all.end()
                                             : std::lower_bound(all.begin(), all.end(), c,
                                                                [](const auto& d, char32_t x) { return d.from < x; });
  if (found == all.end() || found->from != c) {
    characters += c;
    return;
  }
  decompose(found->first, characters);
  if (found->second != 0) decompose(found->second, characters);
}

/// The character that is made of these two.
[[nodiscard]] inline std::optional<char32_t> compose(char32_t first, char32_t second) noexcept {
  if (second < first_mark || second >= not_utf8) return std::nullopt;
  if (const auto syllable = Hangul::compose(first, second)) return syllable;
  const std::span<const std::uint16_t> all = compositions;
  const auto is_before = [&](std::uint16_t i, char32_t) {
    const Decomposition& d = decompositions[i];
    return d.first != first ? d.first < first : d.second < second;
  };
  const auto found = std::lower_bound(all.begin(), all.end(), second, is_before);
  if (found == all.end()) return std::nullopt;
  const Decomposition& d = decompositions[*found];
  return d.first == first && d.second == second ? std::optional<char32_t>(d.from) : std::nullopt;
}

/// Marks that follow a character in the order of their classes, D109 of the Unicode Standard; those of a class stay in
/// order.
inline void sort_marks(std::u32string& characters) {
  const auto is_mark = [](char32_t c) { return combining_class(c) != 0; };
  const auto is_before = [](char32_t a, char32_t b) { return combining_class(a) < combining_class(b); };
  for (auto begin = characters.begin(); begin != characters.end();) {
    begin = std::find_if(begin, characters.end(), is_mark);
    const auto end = std::find_if_not(begin, characters.end(), is_mark);
    if (end - begin > 1) std::stable_sort(begin, end, is_before);
    begin = end;
  }
}

/// Joins, D117 of the Unicode Standard: each character with the last one before it that is no mark, unless something
/// between them has no lower class than it.
inline void compose_all(std::u32string& characters) {
  std::size_t n = 0, base = 0;  // characters kept, and the last of them that is no mark, if has_base
  bool has_base = false;
  std::uint32_t class_before = 0;  // of the last character kept
  for (const char32_t c : characters) {
    const std::uint32_t own_class = combining_class(c);
    if (has_base && (n == base + 1 || class_before < own_class)) {
      if (const auto composed = compose(characters[base], c)) {
        characters[base] = *composed;
        continue;
      }
    }
    if (own_class == 0) {
      base = n;
      has_base = true;
    }
    class_before = own_class;
    characters[n++] = c;
  }
  characters.resize(n);
}

}  // namespace detail

/// `text` in normalisation form C (Unicode Standard Annex 15), of Unicode 9.0: characters that were added later stay as
/// they are. Bytes that are not UTF-8 stay, too, and nothing is composed across them.
[[nodiscard]] inline std::string to_nfc(std::string_view text) {
  // Below U+0300 everything is normal, and the bytes of that are below 0xcc.
  const auto is_low = [](char byte) { return static_cast<unsigned char>(byte) < 0xcc; };
  if (std::all_of(text.begin(), text.end(), is_low)) return std::string(text);
  std::u32string characters;
  characters.reserve(text.size());
  for (std::size_t i = 0; i < text.size();) {
    const Utf8Character character = front_character(text.substr(i));
    detail::decompose(character.code_point, characters);
    i += character.n_bytes;
  }
  detail::sort_marks(characters);
  detail::compose_all(characters);
  std::string normal;
  normal.reserve(text.size());
  for (const char32_t c : characters) {
    if (!append_utf8(c, normal)) normal += static_cast<char>(static_cast<unsigned char>(c - not_utf8));
  }
  return normal;
}

RWKV_NAMESPACE_END
