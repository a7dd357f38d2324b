// SPDX-License-Identifier: MIT
// The simple block formats, byte for byte as ggml's reference quantisers make them.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "rwkv/core/blocks.hpp"
#include "rwkv/core/float16.hpp"

RWKV_NAMESPACE_BEGIN

namespace detail {

using Codes32 = std::uint8_t[32];

/// The codes of 4 bits, two in a byte, and the fifth bits where there are some.
template <class Block>
void store_codes(const Codes32& codes, Block& block) noexcept {
  for (int i = 0; i < 16; ++i) block.q[i] = static_cast<std::uint8_t>((codes[i] & 15) | (codes[i + 16] << 4));
  if constexpr (requires { block.high; }) {
    std::fill_n(block.high, 4, std::uint8_t{0});
    for (int i = 0; i < 32; ++i) block.high[i / 8] |= static_cast<std::uint8_t>((codes[i] >> 4) << (i % 8));
  }
}

/// Codes of 8 bits are q + 127.
inline void store_codes(const Codes32& codes, BlockQ8_0& block) noexcept {
  for (int i = 0; i < 32; ++i) block.q[i] = static_cast<std::int8_t>(codes[i] - 127);
}

// Codes are made with the scale before it is rounded to f16, which is what the block then holds.

/// The first of the numbers that are largest in magnitude, with its sign.
[[nodiscard]] inline float largest(const float* x) noexcept {
  return *std::max_element(x, x + 32, [](float a, float b) { return std::abs(a) < std::abs(b); });
}

/// 0 for scales so small that f16 has 0 for them, too.
[[nodiscard]] inline float inverse(float scale) noexcept {
  return std::abs(scale) >= std::numeric_limits<float>::min() ? 1 / scale : 0;
}

/// (x - low) * factor, rounded to float. Codes are these plus a half: where there is FMA, compilers make one operation
/// of product and sum, with one rounding, and some codes are others. So they must not see the two together.
inline void scaled(const float* x, float low, float factor, float (&y)[32]) noexcept {
  for (int i = 0; i < 32; ++i) y[i] = (x[i] - low) * factor;
  __asm__ volatile("" : "+m"(y));
}

/// (q - half) d: the largest number is code 0.
template <class Block>
void quantise_symmetric(const float* x, int half, Block& block) noexcept {
  const float d = largest(x) / static_cast<float>(-half);
  float steps[32];
  scaled(x, 0, inverse(d), steps);
  Codes32 codes;
  for (int i = 0; i < 32; ++i) {
    const int code = static_cast<int>(steps[i] + (static_cast<float>(half) + 0.5f));
    codes[i] = static_cast<std::uint8_t>(std::min(2 * half - 1, code));
  }
  block.d = f32_to_f16(d);
  store_codes(codes, block);
}

/// q d + m: from the smallest to the largest number.
template <class Block>
void quantise_range(const float* x, int max_code, Block& block) noexcept {
  const auto [low, high] = std::minmax_element(x, x + 32);
  const float d = (*high - *low) / static_cast<float>(max_code);
  float steps[32];
  scaled(x, *low, inverse(d), steps);
  Codes32 codes;
  for (int i = 0; i < 32; ++i) {
    codes[i] = static_cast<std::uint8_t>(std::min(max_code, static_cast<int>(steps[i] + 0.5f)));
  }
  block.d = f32_to_f16(d);
  block.m = f32_to_f16(*low);
  store_codes(codes, block);
}

inline void quantise_plain(const float* x, BlockQ4_0& block) noexcept { quantise_symmetric(x, 8, block); }
inline void quantise_plain(const float* x, BlockQ5_0& block) noexcept { quantise_symmetric(x, 16, block); }
inline void quantise_plain(const float* x, BlockQ4_1& block) noexcept { quantise_range(x, 15, block); }
inline void quantise_plain(const float* x, BlockQ5_1& block) noexcept { quantise_range(x, 31, block); }
inline void quantise_plain(const float* x, BlockQ8_0& block) noexcept {
  const float d = std::abs(largest(x)) / 127, scale = inverse(d);
  block.d = f32_to_f16(d);
  for (int i = 0; i < 32; ++i) block.q[i] = static_cast<std::int8_t>(std::round(x[i] * scale));
}

}  // namespace detail

RWKV_NAMESPACE_END
