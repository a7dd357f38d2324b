// SPDX-License-Identifier: MIT
// Exact conversions between float and the two 16-bit formats, on their bits.
//
// f16 is IEEE 754 binary16: 1 sign, 5 exponent, 10 fraction bits. bf16 is the upper half of a float. Widening is exact,
// subnormals, infinities and NaN included. Narrowing rounds to the nearest, ties to even; NaN stays NaN.
#pragma once

#include <bit>
#include <cstdint>

#include "rwkv/version.hpp"

RWKV_NAMESPACE_BEGIN

[[nodiscard]] constexpr float bf16_to_f32(std::uint16_t bits) noexcept {
  return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
}

[[nodiscard]] constexpr std::uint16_t f32_to_bf16(float value) noexcept {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<std::uint16_t>((bits >> 16) | 0x40u);  // a quiet NaN
  return static_cast<std::uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

[[nodiscard]] constexpr float f16_to_f32(std::uint16_t bits) noexcept {
  const std::uint32_t sign = static_cast<std::uint32_t>(bits & 0x8000u) << 16;
  const std::uint32_t exponent = (bits >> 10) & 31u;
  const std::uint32_t fraction = bits & 0x3ffu;
  if (exponent == 31) return std::bit_cast<float>(sign | 0x7f800000u | (fraction << 13));
  if (exponent != 0) return std::bit_cast<float>(sign | ((exponent + 112) << 23) | (fraction << 13));
  // Zero or subnormal: fraction * 2^-24, which a float holds exactly.
  const float magnitude = static_cast<float>(fraction) * 0x1p-24f;
  return std::bit_cast<float>(sign | std::bit_cast<std::uint32_t>(magnitude));
}

[[nodiscard]] constexpr std::uint16_t f32_to_f16(float value) noexcept {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const auto sign = static_cast<std::uint16_t>((bits >> 16) & 0x8000u);
  const std::uint32_t magnitude = bits & 0x7fffffffu;
  const auto rounded = [](std::uint32_t number, std::uint32_t shift) {  // number / 2^shift, ties to even
    const std::uint32_t half = 1u << (shift - 1);
    return (number + half - 1 + ((number >> shift) & 1u)) >> shift;
  };
  if (magnitude > 0x7f800000u) return static_cast<std::uint16_t>(sign | 0x7e00u | ((bits >> 13) & 0x1ffu));
  if (magnitude >= 0x477ff000u) return static_cast<std::uint16_t>(sign | 0x7c00u);  // 65520 and more round to infinity
  if (magnitude >= 0x38800000u) return static_cast<std::uint16_t>(sign | rounded(magnitude - 0x38000000u, 13));
  if (magnitude < 0x33000000u) return sign;  // below half of the smallest subnormal, 2^-25
  const std::uint32_t exponent = magnitude >> 23;
  const std::uint32_t fraction = (magnitude & 0x7fffffu) | 0x800000u;
  return static_cast<std::uint16_t>(sign | rounded(fraction, 126 - exponent));
}

RWKV_NAMESPACE_END
