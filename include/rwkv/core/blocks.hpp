// SPDX-License-Identifier: MIT
// The block formats of ggml, exactly: 32 or 256 numbers share a scale (and a minimum), in float as ggml evaluates them.
// Kernels have faster words for the same values; these are what they are tested against.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "rwkv/core/dtype.hpp"
#include "rwkv/core/float16.hpp"

RWKV_NAMESPACE_BEGIN

/// The values of the 4 bits of iq4_nl.
inline constexpr std::int8_t iq4_values[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                               1,    13,   25,  38,  53,  69,  89,  113};

namespace detail {

/// Of 16 bytes, 32 numbers of 4 bits: the low halves first, then the high ones.
[[nodiscard]] constexpr int nibble(const std::uint8_t* q, int i) noexcept {
  return i < 16 ? q[i] & 15 : q[i - 16] >> 4;
}

/// Bit i of a row of bits.
[[nodiscard]] constexpr int bit(const std::uint8_t* bits, int i) noexcept { return (bits[i / 8] >> (i % 8)) & 1; }

}  // namespace detail

// Scales and minima are f16, little-endian, at addresses of any alignment: blocks are copied before they are looked at.

/// 32 numbers of 4 bits with a common scale.
struct BlockQ4_0 {  // (q - 8) d
  static constexpr int size = 32;
  std::uint16_t d;
  std::uint8_t q[16];

  void expand(float* y) const noexcept {
    for (int i = 0; i < size; ++i) y[i] = static_cast<float>(detail::nibble(q, i) - 8) * f16_to_f32(d);
  }
};

/// 32 numbers of 4 bits with a common scale and minimum.
struct BlockQ4_1 {  // q d + m
  static constexpr int size = 32;
  std::uint16_t d, m;
  std::uint8_t q[16];

  void expand(float* y) const noexcept {
    for (int i = 0; i < size; ++i) y[i] = static_cast<float>(detail::nibble(q, i)) * f16_to_f32(d) + f16_to_f32(m);
  }
};

/// 32 numbers of 5 bits with a common scale.
struct BlockQ5_0 {  // (q - 16) d, the fifth bits apart
  static constexpr int size = 32;
  std::uint16_t d;
  std::uint8_t high[4];
  std::uint8_t q[16];

  void expand(float* y) const noexcept {
    for (int i = 0; i < size; ++i) {
      y[i] = static_cast<float>(detail::nibble(q, i) + 16 * detail::bit(high, i) - 16) * f16_to_f32(d);
    }
  }
};

/// 32 numbers of 5 bits with a common scale and minimum.
struct BlockQ5_1 {  // q d + m, the fifth bits apart
  static constexpr int size = 32;
  std::uint16_t d, m;
  std::uint8_t high[4];
  std::uint8_t q[16];

  void expand(float* y) const noexcept {
    for (int i = 0; i < size; ++i) {
      y[i] = static_cast<float>(detail::nibble(q, i) + 16 * detail::bit(high, i)) * f16_to_f32(d) + f16_to_f32(m);
    }
  }
};

/// 32 numbers of 8 bits with a common scale.
struct BlockQ8_0 {  // q d
  static constexpr int size = 32;
  std::uint16_t d;
  std::int8_t q[32];

  void expand(float* y) const noexcept {
    for (int i = 0; i < size; ++i) y[i] = static_cast<float>(q[i]) * f16_to_f32(d);
  }
};

/// 32 numbers of 4 bits that stand for values of a fixed table, with a common scale.
struct BlockIQ4_NL {  // iq4_values[q] d
  static constexpr int size = 32;
  std::uint16_t d;
  std::uint8_t q[16];

  void expand(float* y) const noexcept {
    for (int i = 0; i < size; ++i) y[i] = f16_to_f32(d) * static_cast<float>(iq4_values[detail::nibble(q, i)]);
  }
};

/// What q4_k and q5_k begin with: a scale and a minimum of 6 bits for each of 8 groups of 32.
struct GroupScales {
  std::uint16_t d, d_min;
  std::uint8_t packed[12];

  [[nodiscard]] constexpr int scale_bits(int group) const noexcept {
    return group < 4 ? packed[group] & 63 : (packed[group + 4] & 15) | (packed[group - 4] >> 6 << 4);
  }
  [[nodiscard]] constexpr int minimum_bits(int group) const noexcept {
    return group < 4 ? packed[group + 4] & 63 : (packed[group + 4] >> 4) | (packed[group] >> 6 << 4);
  }
  [[nodiscard]] float scale(int group) const noexcept { return f16_to_f32(d) * static_cast<float>(scale_bits(group)); }
  [[nodiscard]] float minimum(int group) const noexcept {
    return f16_to_f32(d_min) * static_cast<float>(minimum_bits(group));
  }
};

/// 256 numbers of 4 bits; each 32 have a scale and a minimum, of 6 bits.
struct BlockQ4_K {  // q scale - minimum; two groups of 32 share 32 bytes, the first has their low halves
  static constexpr int size = 256;
  GroupScales scales;
  std::uint8_t q[128];

  void expand(float* y) const noexcept {
    for (int i = 0; i < size; ++i) {
      const int group = i / 32, byte = q[32 * (group / 2) + i % 32];
      y[i] = scales.scale(group) * static_cast<float>(group % 2 == 0 ? byte & 15 : byte >> 4) - scales.minimum(group);
    }
  }
};

/// 256 numbers of 5 bits; each 32 have a scale and a minimum, of 6 bits.
struct BlockQ5_K {  // the same with fifth bits: bit `group` of high[i % 32]
  static constexpr int size = 256;
  GroupScales scales;
  std::uint8_t high[32];
  std::uint8_t q[128];

  void expand(float* y) const noexcept {
    for (int i = 0; i < size; ++i) {
      const int group = i / 32, byte = q[32 * (group / 2) + i % 32];
      const int bits = (group % 2 == 0 ? byte & 15 : byte >> 4) + 16 * ((high[i % 32] >> group) & 1);
      y[i] = scales.scale(group) * static_cast<float>(bits) - scales.minimum(group);
    }
  }
};

/// 256 numbers of 6 bits; each 16 have a scale, of 8 bits.
struct BlockQ6_K {  // (q - 32) d scale, a scale for 16; the low 4 bits and the high 2 apart, in halves of 128
  static constexpr int size = 256;
  std::uint8_t low[128];
  std::uint8_t high[64];
  std::int8_t scales[16];
  std::uint16_t d;

  void expand(float* y) const noexcept {
    for (int i = 0; i < size; ++i) {
      const int half = i / 128, part = i % 128 / 32, l = i % 32;
      const int byte = low[64 * half + 32 * (part % 2) + l];
      const int bits = (part < 2 ? byte & 15 : byte >> 4) | ((high[32 * half + l] >> (2 * part) & 3) << 4);
      y[i] = f16_to_f32(d) * static_cast<float>(scales[i / 16]) * static_cast<float>(bits - 32);
    }
  }
};

/// Calls function(Block{}) with the block of a type; does nothing for types of single numbers.
template <class Function>
constexpr void with_block(DType dtype, Function&& function) {
  switch (dtype) {
    case DType::q4_0: return function(BlockQ4_0{});
    case DType::q4_1: return function(BlockQ4_1{});
    case DType::q5_0: return function(BlockQ5_0{});
    case DType::q5_1: return function(BlockQ5_1{});
    case DType::q8_0: return function(BlockQ8_0{});
    case DType::iq4_nl: return function(BlockIQ4_NL{});
    case DType::q4_k: return function(BlockQ4_K{});
    case DType::q5_k: return function(BlockQ5_K{});
    case DType::q6_k: return function(BlockQ6_K{});
    default: return;
  }
}

static_assert([] {  // the structs are the bytes of the files
  bool fits = true;
  for (const DTypeInfo& type : dtype_infos) {
    with_block(type.dtype, [&]<class Block>(Block) {
      fits = fits && Block::size == type.block_elements && sizeof(Block) == static_cast<std::size_t>(type.block_bytes);
    });
  }
  return fits;
}());

/// The n numbers that stand in whole blocks.
template <class Block>
void expand_blocks(const std::byte* stored, Index n, float* y) noexcept {
  for (Index i = 0; i < n; i += Block::size) {
    Block block;
    std::memcpy(&block, stored + i / Block::size * static_cast<Index>(sizeof(Block)), sizeof(Block));
    block.expand(y + i);
  }
}

RWKV_NAMESPACE_END
