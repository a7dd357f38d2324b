// SPDX-License-Identifier: MIT
// Blocks of 256 numbers in groups, whose scales are whole multiples of one scale.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "rwkv/quant/search.hpp"

RWKV_NAMESPACE_BEGIN

namespace detail {

inline void store_codes(const std::uint8_t (&codes)[256], BlockQ4_K& block) noexcept {
  for (int i = 0; i < 128; ++i) {
    const int first = 64 * (i / 32) + i % 32;
    block.q[i] = static_cast<std::uint8_t>(codes[first] | (codes[first + 32] << 4));
  }
}

inline void store_codes(const std::uint8_t (&codes)[256], BlockQ5_K& block) noexcept {
  std::fill_n(block.high, 32, std::uint8_t{0});
  for (int i = 0; i < 256; ++i) block.high[i % 32] |= static_cast<std::uint8_t>((codes[i] >> 4) << (i / 32));
  for (int i = 0; i < 128; ++i) {
    const int first = 64 * (i / 32) + i % 32;
    block.q[i] = static_cast<std::uint8_t>((codes[first] & 15) | (codes[first + 32] << 4));
  }
}

inline void store_codes(const std::uint8_t (&codes)[256], BlockQ6_K& block) noexcept {
  for (int half = 0; half < 2; ++half) {
    for (int l = 0; l < 32; ++l) {
      const std::uint8_t* const q = codes + 128 * half + l;  // every 32nd belongs together
      block.low[64 * half + l] = static_cast<std::uint8_t>((q[0] & 15) | (q[64] << 4));
      block.low[64 * half + 32 + l] = static_cast<std::uint8_t>((q[32] & 15) | (q[96] << 4));
      block.high[32 * half + l] =
          static_cast<std::uint8_t>((q[0] >> 4) | (q[32] >> 4 << 2) | (q[64] >> 4 << 4) | (q[96] >> 4 << 6));
    }
  }
}

/// The scales and minima of 8 groups, of 6 bits each, as GroupScales packs them.
inline void store_group_scales(const std::uint8_t (&scales)[8], const std::uint8_t (&minima)[8],
                               GroupScales& packed) noexcept {
  for (int i = 0; i < 4; ++i) {
    packed.packed[i] = static_cast<std::uint8_t>(scales[i] | (scales[i + 4] >> 4 << 6));
    packed.packed[i + 4] = static_cast<std::uint8_t>(minima[i] | (minima[i + 4] >> 4 << 6));
    packed.packed[i + 8] = static_cast<std::uint8_t>((scales[i + 4] & 15) | (minima[i + 4] << 4));
  }
}

using Codes6Bit = WholeCodes<-32, 31, -32>;

template <int n>
[[nodiscard]] float largest_of(const Lanes (&lanes)[n]) noexcept {
  float largest = 0;
  for (const Lanes& each : lanes) {
    for (int l = 0; l < n_lanes; ++l) largest = std::abs(each[l]) > std::abs(largest) ? each[l] : largest;
  }
  return largest;
}

/// In f16, the unit of which `value` is n: so that n of them reach it, where f16 is coarse (below 6e-5) the next
/// larger.
[[nodiscard]] inline float f16_unit(float value, float n) noexcept {
  const auto bits = f32_to_f16(value / n);
  const bool is_short = std::abs(value) > (std::abs(n) + 0.5f) * std::abs(f16_to_f32(bits));
  return f16_to_f32(static_cast<std::uint16_t>(bits + (is_short ? 1 : 0)));
}

/// Of two halves of four groups: scale * scales[h] and -minimum * minima[h] are the ranges.
struct GroupRanges {
  float scale, minimum;
  Lanes scales[2], minima[2];
  float error;

  [[nodiscard]] LaneRange range(int half) const noexcept { return {scale * scales[half], -minimum * minima[half]}; }
};

/// Ranges of groups rounded to what a block can hold. With `search` the whole numbers are those of the least error:
/// of three scales, each with the offset that is best for its codes.
template <int max_code>
[[nodiscard]] GroupRanges rounded_ranges(const BlockLanes<32> (&halves)[2], const LaneRange (&ranges)[2],
                                         bool search) noexcept {
  GroupRanges result{};
  result.scale = f16_unit(largest_of({ranges[0].scale, ranges[1].scale}), 63);
  result.minimum = f16_unit(-largest_of({ranges[0].offset, ranges[1].offset}), 63);
  const Lanes scale = all_lanes(result.scale), minimum = all_lanes(result.minimum);
  for (int h = 0; h < 2; ++h) {
    const Lanes nearest = nearest_whole<0, 63>(quotient(ranges[h].scale, scale));
    result.scales[h] = nearest;
    result.minima[h] = nearest_whole<0, 63>(quotient(-ranges[h].offset, minimum));
    Lanes error = error_of_range<max_code>(halves[h], result.range(h));
    if (search) {
      for (const float change : {-1.0f, 0.0f, 1.0f}) {
        const Lanes scales = between(nearest + change, 0, 63);
        const RangeSums sums = sums_of_range<max_code>(halves[h], {scale * scales, ranges[h].offset});
        const Lanes offset = ranges[h].offset + quotient(sums.r, sums.w);
        const Lanes minima = nearest_whole<0, 63>(quotient(-offset, minimum));
        const Lanes other = error_of_range<max_code>(halves[h], {scale * scales, -minimum * minima});
        const auto is_better = other < error;
        error = is_better ? other : error;
        result.scales[h] = is_better ? scales : result.scales[h];
        result.minima[h] = is_better ? minima : result.minima[h];
      }
    }
    result.error += total(error);
  }
  return result;
}

/// A block of eight groups of 32 numbers, each with a scale and a minimum.
template <int max_code, class Block>
void quantise_groups(const BlockLanes<32> (&halves)[2], bool search, Block& block) noexcept {
  LaneRange ranges[2];
  for (int h = 0; h < 2; ++h) ranges[h] = plain_range<max_code>(halves[h], 0);
  GroupRanges best = rounded_ranges<max_code>(halves, ranges, false);
  if (search) {
    for (int h = 0; h < 2; ++h) ranges[h] = best_range<max_code>(halves[h], ranges[h], 0);
    const GroupRanges found = rounded_ranges<max_code>(halves, ranges, true);
    if (found.error < best.error) best = found;
  }
  std::uint8_t codes[256], scales[8], minima[8];
  for (int h = 0; h < 2; ++h) {
    codes_of_range<max_code>(halves[h], best.range(h), codes + 128 * h);
    for (int l = 0; l < n_lanes; ++l) {
      scales[n_lanes * h + l] = static_cast<std::uint8_t>(best.scales[h][l]);
      minima[n_lanes * h + l] = static_cast<std::uint8_t>(best.minima[h][l]);
    }
  }
  block.scales.d = f32_to_f16(best.scale);
  block.scales.d_min = f32_to_f16(best.minimum);
  store_group_scales(scales, minima, block.scales);
  store_codes(codes, block);
}

/// Of four quarters of four groups: scale * scales[q].
struct GroupScaling {
  float scale;
  Lanes scales[4];
  float error;
};

[[nodiscard]] inline GroupScaling rounded_scales(const BlockLanes<16> (&quarters)[4],
                                                 const Lanes (&scales)[4]) noexcept {
  GroupScaling result{};
  result.scale = f16_unit(largest_of(scales), -128);
  for (int q = 0; q < 4; ++q) {
    result.scales[q] = nearest_whole<-128, 127>(quotient(scales[q], all_lanes(result.scale)));
    result.error += total(error_of_scale<Codes6Bit>(quarters[q], result.scale * result.scales[q]));
  }
  return result;
}

/// A block of 16 groups of 16 numbers, each with a scale.
inline void quantise_groups(const BlockLanes<16> (&quarters)[4], bool search, BlockQ6_K& block) noexcept {
  Lanes scales[4];
  for (int q = 0; q < 4; ++q) scales[q] = plain_scale<Codes6Bit>(quarters[q]);
  GroupScaling best = rounded_scales(quarters, scales);
  if (search) {
    for (int q = 0; q < 4; ++q) scales[q] = best_scale<Codes6Bit>(quarters[q], scales[q]);
    const GroupScaling found = rounded_scales(quarters, scales);
    if (found.error < best.error) best = found;
  }
  std::uint8_t codes[256];
  for (int q = 0; q < 4; ++q) {
    codes_of_scale<Codes6Bit>(quarters[q], best.scale * best.scales[q], codes + 64 * q);
    for (int l = 0; l < n_lanes; ++l) block.scales[n_lanes * q + l] = static_cast<std::int8_t>(best.scales[q][l]);
  }
  block.d = f32_to_f16(best.scale);
  store_codes(codes, block);
}

}  // namespace detail

RWKV_NAMESPACE_END
