// SPDX-License-Identifier: MIT
// An exponential and a logarithm that have the same bits on every processor, with every compiler and standard library.
//
// The functions of <cmath> differ between libraries in their last bit, and a compiler that may fuse a product and a sum
// into one instruction (contraction, the default of g++ and clang++ where the processor has it) rounds once instead of
// twice. One such bit can decide which token is drawn. Here every product that meets a sum is exact, so that fusing it
// changes nothing, or the fusing is asked for with std::fma, which is exact by definition.
//
// For double of IEEE 754, not for -ffast-math.
#pragma once

#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "rwkv/version.hpp"

RWKV_NAMESPACE_BEGIN

namespace detail {

inline constexpr int power_bits = 9;  // of the index of one table

/// The upper 64 bits of a product.
[[nodiscard]] constexpr std::uint64_t multiply_high(std::uint64_t a, std::uint64_t b) noexcept {
  constexpr std::uint64_t low = 0xffffffff;
  const std::uint64_t middle = (a >> 32) * (b & low) + ((a & low) * (b & low) >> 32);
  return (a >> 32) * (b >> 32) + (middle >> 32) + (((middle & low) + (a & low) * (b >> 32)) >> 32);
}

/// 2^(-i * unit), i = 0 .. 511, with unit = 2^-9, 2^-18 or 2^-27: rounded once, from a series in integers of 2^-64.
[[nodiscard]] constexpr std::array<double, 1 << power_bits> powers(int unit_bits) noexcept {
  constexpr std::uint64_t ln2 = 0xb17217f7d1cf79ac;  // ln 2 * 2^64
  std::array<double, 1 << power_bits> table{1};
  for (std::size_t i = 1; i < table.size(); ++i) {
    const std::uint64_t x = multiply_high(std::uint64_t{i} << (64 - unit_bits), ln2);
    std::uint64_t sum = 0, term = x;  // 1 - e^-x = x - x^2/2 + x^3/6 - ...
    for (std::uint64_t n = 1; term != 0; term = multiply_high(term, x) / ++n) sum += n % 2 == 1 ? term : 0 - term;
    table[i] = static_cast<double>(0 - sum) * 0x1p-64;
  }
  return table;
}

inline constexpr std::array<std::array<double, 1 << power_bits>, 3> power_tables{
    powers(power_bits), powers(2 * power_bits), powers(3 * power_bits)};

}  // namespace detail

/// e^-x for x >= 0; 0 from x = 708 on, where the result would leave the normal numbers. No NaN.
///
/// -x log2(e) = -(n + i/2^9 + j/2^18 + k/2^27 + r/2^52), whose powers of 2 are multiplied: i, j, k from tables, and
/// 2^(-r/2^52) = 1 - r ln2/2^52, where 25 bits of r times 28 of the factor are exact. Relative error below
/// (8 + 2 x) 2^-53.
[[nodiscard]] inline double exp_minus(double x) noexcept {
  constexpr double log2_e = 0x1.71547652b82fep0, unit = 0x1p52;
  constexpr double ln2_28_bits = 0x1.62e42fep-1;
  constexpr std::uint64_t mask = (1 << detail::power_bits) - 1, rest_mask = (1 << 25) - 1;
  if (!(x < 708)) return 0;
  const auto power = static_cast<std::uint64_t>(static_cast<std::int64_t>(x * (log2_e * unit)));
  const auto factor = [power](std::size_t table) {
    return detail::power_tables[table][(power >> (43 - detail::power_bits * static_cast<int>(table))) & mask];
  };
  const double rest = 1 - static_cast<double>(static_cast<std::int64_t>(power & rest_mask)) * (ln2_28_bits / unit);
  const double scale = std::bit_cast<double>((1023 - (power >> 52)) << 52);  // last, so that this product is exact
  return factor(0) * factor(1) * (factor(2) * rest) * scale;
}

/// The logarithm to base 2 of a normal number x > 0; absolute error below 2^-51 + 2^-53 |log2 x|.
///
/// x = m 2^n with m in [sqrt(1/2), sqrt(2)); ln m = 2 artanh(z) = 2 (z + z^3/3 + z^5/5 + ...), z = (m - 1) / (m + 1).
[[nodiscard]] inline double portable_log2(double x) noexcept {
  constexpr std::uint64_t root_half = 0x3fe6a09e667f3bcd;  // the bits of sqrt(1/2)
  constexpr double two_log2_e = 0x1.71547652b82fep1;
  const auto bits = std::bit_cast<std::uint64_t>(x);
  const auto n = static_cast<std::int64_t>(bits - root_half) >> 52;
  const double m = std::bit_cast<double>(bits - (static_cast<std::uint64_t>(n) << 52));
  const double z = (m - 1) / (m + 1), square = z * z;
  double sum = 1.0 / 23;
  for (int k = 21; k > 0; k -= 2) sum = std::fma(sum, square, 1.0 / k);
  return std::fma(two_log2_e * z, sum, static_cast<double>(n));
}

RWKV_NAMESPACE_END
