// SPDX-License-Identifier: MIT
// Numbers to the simple block formats of ggml, byte for byte as its reference quantisers make them.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <utility>

#include "rwkv/core/blocks.hpp"
#include "rwkv/core/buffer.hpp"
#include "rwkv/core/error.hpp"
#include "rwkv/core/tensor.hpp"

RWKV_NAMESPACE_BEGIN

namespace detail {

// Codes are made with the scale before it is rounded to f16, which is what the block then holds.

/// The first of the numbers that are largest in magnitude, with its sign.
[[nodiscard]] inline float largest(const float* x) noexcept {
  return *std::max_element(x, x + 32, [](float a, float b) { return std::abs(a) < std::abs(b); });
}

[[nodiscard]] inline float inverse(float scale) noexcept { return scale != 0 ? 1 / scale : 0; }

/// The codes of 4 bits, two in a byte, and the fifth bits where there are some.
template <class Block>
void store_codes(const int (&codes)[32], Block& block) noexcept {
  for (int i = 0; i < 16; ++i) block.q[i] = static_cast<std::uint8_t>((codes[i] & 15) | ((codes[i + 16] & 15) << 4));
  if constexpr (requires { block.high; }) {
    std::fill_n(block.high, 4, std::uint8_t{0});
    for (int i = 0; i < 32; ++i) block.high[i / 8] |= static_cast<std::uint8_t>((codes[i] >> 4) << (i % 8));
  }
}

/// (q - half) d: the largest number is code 0.
template <class Block>
void quantise_symmetric(const float* x, int half, Block& block) noexcept {
  const float d = largest(x) / static_cast<float>(-half), scale = inverse(d);
  int codes[32];
  for (int i = 0; i < 32; ++i) {
    codes[i] = std::min(2 * half - 1, static_cast<int>(x[i] * scale + (static_cast<float>(half) + 0.5f)));
  }
  block.d = f32_to_f16(d);
  store_codes(codes, block);
}

/// q d + m: from the smallest to the largest number.
template <class Block>
void quantise_range(const float* x, int max_code, Block& block) noexcept {
  const auto [low, high] = std::minmax_element(x, x + 32);
  const float d = (*high - *low) / static_cast<float>(max_code), scale = inverse(d);
  int codes[32];
  for (int i = 0; i < 32; ++i) codes[i] = std::min(max_code, static_cast<int>((x[i] - *low) * scale + 0.5f));
  block.d = f32_to_f16(d);
  block.m = f32_to_f16(*low);
  store_codes(codes, block);
}

inline void quantise_block(const float* x, BlockQ4_0& block) noexcept { quantise_symmetric(x, 8, block); }
inline void quantise_block(const float* x, BlockQ5_0& block) noexcept { quantise_symmetric(x, 16, block); }
inline void quantise_block(const float* x, BlockQ4_1& block) noexcept { quantise_range(x, 15, block); }
inline void quantise_block(const float* x, BlockQ5_1& block) noexcept { quantise_range(x, 31, block); }
inline void quantise_block(const float* x, BlockQ8_0& block) noexcept {
  const float d = std::abs(largest(x)) / 127, scale = inverse(d);
  block.d = f32_to_f16(d);
  for (int i = 0; i < 32; ++i) block.q[i] = static_cast<std::int8_t>(std::round(x[i] * scale));
}

}  // namespace detail

/// A copy of a tensor of real numbers in q8_0, q4_0, q4_1, q5_0 or q5_1; its rows are a multiple of 32.
/// Throws ArgumentError for other types, and for rows or numbers that do not fit.
[[nodiscard]] inline TensorView quantised(const TensorView& tensor, DType dtype) {
  const auto fail = [&](std::string_view expected, std::string_view found) {
    throw ArgumentError({.item = "quantised", .expected = expected, .found = found});
  };
  const auto n_bytes = checked_n_bytes(dtype, tensor.shape);
  if (!n_bytes) fail("rows of a multiple of 32 numbers", to_string(tensor.shape));
  const Buffer<float> values = read_all<float>(tensor);
  constexpr float max_f16 = 65504;  // so that scales are finite, too
  if (!std::all_of(values.begin(), values.end(), [](float value) { return std::abs(value) <= max_f16; })) {
    fail("numbers of up to 65504", "larger ones or NaN");
  }
  const auto bytes = std::make_shared<Buffer<std::byte>>(*n_bytes);
  bool is_simple = false;
  with_block(dtype, [&]<class Block>(Block block) {
    if constexpr (requires { detail::quantise_block(values.data(), block); }) {
      is_simple = true;
      for (Index i = 0; i < values.size() / Block::size; ++i) {
        detail::quantise_block(values.data() + i * Block::size, block);
        std::memcpy(bytes->data() + i * static_cast<Index>(sizeof(Block)), &block, sizeof(Block));
      }
    }
  });
  if (!is_simple) fail("q8_0, q4_0, q4_1, q5_0 or q5_1", name(dtype));
  return {dtype, tensor.shape, bytes->data(), bytes};
}

RWKV_NAMESPACE_END
