// SPDX-License-Identifier: MIT
// Kernels for NEON, which is part of every AArch64 processor: no target attribute is needed.
#pragma once

#include "rwkv/kernels/table.hpp"

#if RWKV_HAS_NEON
#include <arm_neon.h>

#include <cstring>

#define RWKV_ISA neon
#define RWKV_ISA_VALUE Isa::neon
#define RWKV_ATTR
#define RWKV_INLINE __attribute__((always_inline)) inline

RWKV_NAMESPACE_BEGIN
namespace kernels::RWKV_ISA {

using Scalar = float;

struct Lanes {
  static constexpr Index count = 4;
  static constexpr Index gemm_rows = 8;   // 8 x 2 sums, 2 activations, 8 weights, loaded ahead: 26 of 32 registers
  static constexpr int few_rows = 4;      // 4 x 4 sums, 4 activations, 1 weight: 21 of 32 registers
  static constexpr int tile_vectors = 4;  // 4 x 4 sums, 4 of a row, 1 factor: 21 of 32 registers
  float32x4_t values;

  RWKV_INLINE static Lanes set(float value) noexcept { return {vdupq_n_f32(value)}; }
  /// Two values, each in one half.
  RWKV_INLINE static Lanes set_halves(const float* from) noexcept {
    return {vcombine_f32(vdup_n_f32(from[0]), vdup_n_f32(from[1]))};
  }
  RWKV_INLINE static Lanes load(const float* from) noexcept { return {vld1q_f32(from)}; }
  RWKV_INLINE static Lanes load_first(const float* from, Index n) noexcept {
    return n < count ? load_some(from, n) : load(from);
  }
  RWKV_INLINE static Lanes load_f32(const std::byte* from) noexcept { return {vreinterpretq_f32_u8(load_128(from))}; }
  RWKV_INLINE static Lanes load_f16(const std::byte* from) noexcept {
    return {vcvt_f32_f16(vreinterpret_f16_u8(load_64(from)))};
  }
  RWKV_INLINE static Lanes load_bf16(const std::byte* from) noexcept {
    return {vreinterpretq_f32_u32(vshlq_n_u32(vmovl_u16(vreinterpret_u16_u8(load_64(from))), 16))};
  }
  RWKV_INLINE static Lanes load_f64(const std::byte* from) noexcept {
    const float32x2_t low = vcvt_f32_f64(vreinterpretq_f64_u8(load_128(from)));
    return {vcvt_high_f32_f64(low, vreinterpretq_f64_u8(load_128(from + 16)))};
  }
  RWKV_INLINE static Lanes load_u8(const std::byte* from) noexcept {
    return {vcvtq_f32_u32(vmovl_u16(vget_low_u16(vmovl_u8(load_32(from)))))};
  }
  RWKV_INLINE static Lanes load_i8(const std::byte* from) noexcept {
    return {vcvtq_f32_s32(vmovl_s16(vget_low_s16(vmovl_s8(vreinterpret_s8_u8(load_32(from))))))};
  }
  /// One stored number, in all lanes.
  RWKV_INLINE static Lanes set_f16(const std::byte* from) noexcept {
    std::uint16_t bits;
    std::memcpy(&bits, from, sizeof(bits));
    return {vcvt_f32_f16(vreinterpret_f16_u16(vdup_n_u16(bits)))};
  }
  RWKV_INLINE friend Lanes operator+(Lanes a, Lanes b) noexcept { return {vaddq_f32(a.values, b.values)}; }
  RWKV_INLINE friend Lanes operator-(Lanes a, Lanes b) noexcept { return {vsubq_f32(a.values, b.values)}; }
  RWKV_INLINE friend Lanes operator*(Lanes a, Lanes b) noexcept { return {vmulq_f32(a.values, b.values)}; }
  RWKV_INLINE friend Lanes operator/(Lanes a, Lanes b) noexcept { return {vdivq_f32(a.values, b.values)}; }
  RWKV_INLINE static Lanes fma(Lanes a, Lanes b, Lanes c) noexcept { return {vfmaq_f32(c.values, a.values, b.values)}; }
  /// NaN where either is NaN: what kernels ask for, and more.
  RWKV_INLINE static Lanes max(Lanes a, Lanes b) noexcept { return {vmaxq_f32(a.values, b.values)}; }
  RWKV_INLINE static Lanes min(Lanes a, Lanes b) noexcept { return {vminq_f32(a.values, b.values)}; }
  RWKV_INLINE static Lanes where_less(Lanes a, Lanes b, Lanes yes, Lanes no) noexcept {
    return {vbslq_f32(vcltq_f32(a.values, b.values), yes.values, no.values)};
  }
  RWKV_INLINE static Lanes round(Lanes a) noexcept { return {vrndnq_f32(a.values)}; }
  RWKV_INLINE static Lanes scale(Lanes a, Lanes n) noexcept {
    const int32x4_t exponent = vaddq_s32(vcvtq_s32_f32(n.values), vdupq_n_s32(127));
    return {vmulq_f32(a.values, vreinterpretq_f32_s32(vshlq_n_s32(exponent, 23)))};
  }
  RWKV_INLINE void store(float* to) const noexcept { vst1q_f32(to, values); }
  RWKV_INLINE void store_first(float* to, Index n) const noexcept { n < count ? store_some(to, n) : store(to); }
  /// Of integers in -128 .. 127; anything else becomes some number.
  RWKV_INLINE void store_i8(std::int8_t* to) const noexcept {
    const int16x4_t words = vmovn_s32(vcvtq_s32_f32(values));
    const int8x8_t bytes = vmovn_s16(vcombine_s16(words, words));
    std::memcpy(to, &bytes, count);
  }
  RWKV_INLINE float first() const noexcept { return vgetq_lane_f32(values, 0); }
  RWKV_INLINE float largest() const noexcept { return vmaxvq_f32(values); }
  RWKV_INLINE float total() const noexcept { return vaddvq_f32(values); }
  /// The totals of four, with fewer instructions.
  RWKV_INLINE static void store_totals(const Lanes (&lanes)[4], float* to) noexcept {
    const float32x4_t low = vpaddq_f32(lanes[0].values, lanes[1].values);
    const float32x4_t high = vpaddq_f32(lanes[2].values, lanes[3].values);
    vst1q_f32(to, vpaddq_f32(low, high));
  }

private:
  // Of 1 to 3 values.
  RWKV_NOINLINE static Lanes load_some(const float* from, Index n) noexcept {
    float32x4_t some = vld1q_lane_f32(from, vdupq_n_f32(0), 0);
    if (n > 1) some = vld1q_lane_f32(from + 1, some, 1);
    if (n > 2) some = vld1q_lane_f32(from + 2, some, 2);
    return {some};
  }
  RWKV_NOINLINE void store_some(float* to, Index n) const noexcept {
    vst1q_lane_f32(to, values, 0);
    if (n > 1) vst1q_lane_f32(to + 1, values, 1);
    if (n > 2) vst1q_lane_f32(to + 2, values, 2);
  }
  RWKV_INLINE static uint8x8_t load_32(const std::byte* from) noexcept {
    std::uint32_t bits;
    std::memcpy(&bits, from, sizeof(bits));
    return vcreate_u8(bits);
  }
  RWKV_INLINE static uint8x8_t load_64(const std::byte* from) noexcept {
    return vld1_u8(reinterpret_cast<const std::uint8_t*>(from));
  }
  RWKV_INLINE static uint8x16_t load_128(const std::byte* from) noexcept {
    return vld1q_u8(reinterpret_cast<const std::uint8_t*>(from));
  }
};

/// The values of 16 codes of iq4_nl.
RWKV_INLINE Bytes in_iq4_values(Bytes codes) noexcept {
  return reinterpret_cast<Bytes>(vqtbl1q_s8(vld1q_s8(iq4_values), reinterpret_cast<uint8x16_t>(codes)));
}

/// The 32 codes of a group, of which unsigned ones are 63 at most: as signed numbers they are the same.
template <CodeLayout layout>
RWKV_INLINE int8x16x2_t load_codes(const Groups& groups, Index group) noexcept {
  const auto* const from = reinterpret_cast<const std::uint8_t*>(groups.at<layout>(group));
  const uint8x16_t low_half = vdupq_n_u8(15);
  uint8x16_t first = vld1q_u8(from), second;
  if constexpr (layout == CodeLayout::nibbles) {
    second = vshrq_n_u8(first, 4);
    first = vandq_u8(first, low_half);
  } else {
    second = vld1q_u8(from + 16);
    if constexpr (layout == CodeLayout::nibble_pairs) {
      first = group % 2 == 0 ? vandq_u8(first, low_half) : vshrq_n_u8(first, 4);
      second = group % 2 == 0 ? vandq_u8(second, low_half) : vshrq_n_u8(second, 4);
    }
  }
  return {{vreinterpretq_s8_u8(first), vreinterpretq_s8_u8(second)}};
}

/// The sum of 16 products, in lanes. Two of codes from -128 on with activations up to 127 fit into 16 bits.
RWKV_INLINE int32x4_t dot16(int8x16_t codes, int8x16_t activations) noexcept {
  const int16x8_t products = vmull_s8(vget_low_s8(codes), vget_low_s8(activations));
  return vpaddlq_s16(vmlal_high_s8(products, codes, activations));
}

using Dots = ExactDots;

/// The product of a group with 32 activations, in lanes, exactly: each half of the codes in its half of the lanes.
template <CodeLayout layout>
RWKV_INLINE Lanes dot32(const Groups& groups, Index group, const std::int8_t* activations) noexcept {
  const int8x16x2_t codes = load_codes<layout>(groups, group);
  const int32x4_t first = dot16(codes.val[0], vld1q_s8(activations));
  const int32x4_t second = dot16(codes.val[1], vld1q_s8(activations + 16));
  return {vcvtq_f32_s32(vpaddq_s32(first, second))};
}

namespace unpacking = neon;

}  // namespace kernels::RWKV_ISA
RWKV_NAMESPACE_END

// Each needs those before it.
#include "rwkv/kernels/math.inl.hpp"

#include "rwkv/kernels/blocks.inl.hpp"

#include "rwkv/kernels/integer.inl.hpp"

#include "rwkv/kernels/all.inl.hpp"

#undef RWKV_INLINE
#undef RWKV_ATTR
#undef RWKV_ISA_VALUE
#undef RWKV_ISA
#endif
