// SPDX-License-Identifier: MIT
// Weights in blocks with the rows of each 16 interleaved, as instructions want them whose lanes are rows: the scales of
// 16 blocks are loaded together, and no sum runs across lanes.
//
// [n_rows / 16][n_in / 32] of: 16 scales of 2 bytes; codes [bytes of a block / 4][16 rows][4]. As many bytes as before.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "rwkv/core/dtype.hpp"

RWKV_NAMESPACE_BEGIN

inline constexpr Index interleaved_rows = 16;

/// Types of one scale and codes.
[[nodiscard]] constexpr bool can_interleave(DType dtype) noexcept {
  return dtype == DType::q8_0 || dtype == DType::q4_0 || dtype == DType::iq4_nl;
}

namespace detail {

/// Calls copy(place in 16 rows, place in the interleaved ones, bytes, bits that differ) for each piece.
template <class Copy>
void for_each_piece(DType dtype, Index n_in, Copy copy) noexcept {
  constexpr Index scale_bytes = 2, piece = 4;
  const Index block_bytes = info(dtype).block_bytes, n_blocks = n_in / info(dtype).block_elements;
  const std::uint32_t flip = dtype == DType::q8_0 ? 0x80808080 : 0;  // signed codes plus 128
  for (Index b = 0; b < n_blocks; ++b) {
    for (Index r = 0; r < interleaved_rows; ++r) {
      const Index from = (r * n_blocks + b) * block_bytes, to = b * interleaved_rows * block_bytes;
      copy(from, to + r * scale_bytes, scale_bytes, 0u);
      for (Index i = 0; i < block_bytes - scale_bytes; i += piece) {
        copy(from + scale_bytes + i, to + interleaved_rows * (scale_bytes + i) + r * piece, piece, flip);
      }
    }
  }
}

inline void copy_piece(const std::byte* from, std::byte* to, Index n_bytes, std::uint32_t flip) noexcept {
  std::uint32_t bits = 0;
  std::memcpy(&bits, from, static_cast<std::size_t>(n_bytes));
  bits ^= flip;
  std::memcpy(to, &bits, static_cast<std::size_t>(n_bytes));
}

}  // namespace detail

/// 16 rows of n_in numbers.
inline void interleave_rows(DType dtype, const std::byte* rows, Index n_in, std::byte* interleaved) noexcept {
  detail::for_each_piece(dtype, n_in, [&](Index in_rows, Index at, Index n_bytes, std::uint32_t flip) noexcept {
    detail::copy_piece(rows + in_rows, interleaved + at, n_bytes, flip);
  });
}
/// What they were.
inline void separate_rows(DType dtype, const std::byte* interleaved, Index n_in, std::byte* rows) noexcept {
  detail::for_each_piece(dtype, n_in, [&](Index in_rows, Index at, Index n_bytes, std::uint32_t flip) noexcept {
    detail::copy_piece(interleaved + at, rows + in_rows, n_bytes, flip);
  });
}

RWKV_NAMESPACE_END
