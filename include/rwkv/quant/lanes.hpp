// SPDX-License-Identifier: MIT
// Four blocks side by side, one in each lane of a vector: the result of one does not depend on its neighbours.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>

#include "rwkv/core/blocks.hpp"
#include "rwkv/core/float16.hpp"

RWKV_NAMESPACE_BEGIN

namespace detail {

/// Four floats, in the vectors that GCC and Clang offer on every processor.
using Lanes __attribute__((vector_size(16))) = float;
using IntLanes __attribute__((vector_size(16))) = std::int32_t;
inline constexpr int n_lanes = 4;

inline constexpr float max_f16 = 65504;

[[nodiscard]] inline Lanes all_lanes(float value) noexcept { return value - Lanes{}; }
[[nodiscard]] inline Lanes load_lanes(const float* from) noexcept {
  Lanes lanes;
  std::memcpy(&lanes, from, sizeof(lanes));
  return lanes;
}
[[nodiscard]] inline Lanes larger(Lanes a, Lanes b) noexcept { return a > b ? a : b; }
[[nodiscard]] inline Lanes smaller(Lanes a, Lanes b) noexcept { return a < b ? a : b; }
[[nodiscard]] inline Lanes between(Lanes a, float low, float high) noexcept {
  return smaller(larger(a, all_lanes(low)), all_lanes(high));
}
[[nodiscard]] inline Lanes magnitude(Lanes a) noexcept { return larger(a, -a); }
[[nodiscard]] inline float total(Lanes a) noexcept { return (a[0] + a[2]) + (a[1] + a[3]); }

/// a / b, and 0 where b is 0 or so small that the quotient could be infinite.
[[nodiscard]] inline Lanes quotient(Lanes a, Lanes b) noexcept {
  const auto is_divisor = magnitude(b) >= all_lanes(std::numeric_limits<float>::min());
  return is_divisor ? a / (is_divisor ? b : all_lanes(1)) : Lanes{};
}

/// What f16 makes of it, finite.
[[nodiscard]] inline Lanes as_f16(Lanes values) noexcept {
  values = between(values, -max_f16, max_f16);
  for (int l = 0; l < n_lanes; ++l) values[l] = f16_to_f32(f32_to_f16(values[l]));
  return values;
}

/// The nearest of low .. high.
template <int low, int high>
[[nodiscard]] Lanes nearest_whole(Lanes values) noexcept {
  constexpr float first = static_cast<float>(low);
  const Lanes from_first = between(values + (0.5f - first), 0, static_cast<float>(high - low) + 0.5f);
  return __builtin_convertvector(__builtin_convertvector(from_first, IntLanes), Lanes) + first;
}

/// n numbers x of each of four blocks, [i][lane], and how much each of them counts.
template <int n>
struct BlockLanes {
  Lanes x[n], weight[n];

  /// The blocks are 4 n numbers, one after the other; weights are in lanes already.
  void load(const float* numbers, const float* weights) noexcept {
    for (int i = 0; i < n; ++i) {
      x[i] = Lanes{numbers[i], numbers[n + i], numbers[2 * n + i], numbers[3 * n + i]};
      weight[i] = load_lanes(weights + n_lanes * i);
    }
  }
};

// What codes stand for: `nearest` rounds to it, `bits` is how a block stores it. The plain rule gives the largest
// number `end`; a search tries steps of `step` on both sides of that.

template <int low, int high, int plain_end>
struct WholeCodes {
  static constexpr float end = static_cast<float>(plain_end);
  static constexpr float step = high < 8 ? 0.25f : high < 16 ? 0.5f : 1.0f;
  static Lanes nearest(Lanes values) noexcept { return nearest_whole<low, high>(values); }
  static int bits(float code) noexcept { return static_cast<int>(code) - low; }
};

/// The nearest of iq4_values to the numbers from k / 2 on, for k = -256 .. 255: limits between two are halves.
inline constexpr auto nearest_iq4 = [] {
  std::array<float, 512> values{};
  for (int at = 0, i = 0; at < 512; ++at) {
    while (i < 15 && at - 256 >= iq4_values[i] + iq4_values[i + 1]) ++i;
    values[static_cast<std::size_t>(at)] = iq4_values[i];
  }
  return values;
}();

/// Which of iq4_values a value v is, at v + 128.
inline constexpr auto iq4_bits = [] {
  std::array<std::uint8_t, 256> bits{};
  for (int i = 0; i < 16; ++i) bits[static_cast<std::size_t>(iq4_values[i] + 128)] = static_cast<std::uint8_t>(i);
  return bits;
}();

struct IQ4Codes {
  static constexpr float end = -127, step = 4;
  static Lanes nearest(Lanes values) noexcept {
    const IntLanes at = __builtin_convertvector(between(2.0f * values + 256.0f, 0, 511), IntLanes);
    const float* const nearest = nearest_iq4.data();
    return Lanes{nearest[at[0]], nearest[at[1]], nearest[at[2]], nearest[at[3]]};
  }
  static int bits(float code) noexcept { return iq4_bits[static_cast<std::size_t>(static_cast<int>(code) + 128)]; }
};

}  // namespace detail
RWKV_NAMESPACE_END
