// SPDX-License-Identifier: MIT
// What regular expressions of tokenizers ask of a character: is it a letter, a number, white space?
#pragma once

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <span>

#include "rwkv/text/unicode_tables.hpp"
#include "rwkv/version.hpp"

RWKV_NAMESPACE_BEGIN

namespace detail {

/// The value of a code point in a table of changes (code point << 8 | value, ascending, the first for 0).
[[nodiscard]] constexpr std::uint32_t value_at(std::span<const std::uint32_t> changes, char32_t code_point) noexcept {
  const auto next = std::upper_bound(changes.begin(), changes.end(), (code_point << 8) | 0xff);
  return *std::prev(next) & 0xff;
}

}  // namespace detail

/// The general categories L (letters) and N (numbers), the property White_Space, and all else: marks, punctuation,
/// symbols, controls, what is not assigned.
enum class CharacterKind { other, letter, number, white_space };

/// The kind of a code point in Unicode 16.0, as of \p{L}, \p{N} and \s in Oniguruma 6.9.10. Of a number that is no code
/// point, other.
[[nodiscard]] constexpr CharacterKind character_kind(char32_t code_point) noexcept {
  if (code_point > 0x10ffff) return CharacterKind::other;
  return static_cast<CharacterKind>(detail::value_at(detail::kind_changes, code_point));
}

RWKV_NAMESPACE_END
