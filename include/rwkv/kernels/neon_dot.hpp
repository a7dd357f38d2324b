// SPDX-License-Identifier: MIT
// Integer products with the dot products of bytes of Armv8.2; everything else is that of NEON.
#pragma once

#include "rwkv/kernels/neon.hpp"

#if RWKV_HAS_NEON_DOT
#define RWKV_ISA neon_dot
#if defined(__ARM_FEATURE_DOTPROD)
#define RWKV_ATTR
#elif defined(__clang__)
#define RWKV_ATTR __attribute__((target("dotprod")))
#else
#define RWKV_ATTR __attribute__((target("arch=armv8.2-a+dotprod")))
#endif
#define RWKV_INLINE RWKV_ATTR __attribute__((always_inline)) inline

RWKV_NAMESPACE_BEGIN
namespace kernels::RWKV_ISA {

using neon::Lanes;
using neon::load;
namespace unpacking = neon;

/// The sum of 16 products, in lanes. The header of clang 14 has the intrinsic only where -march names the extension.
RWKV_INLINE int32x4_t dot16(int8x16_t codes, int8x16_t activations) noexcept {
  int32x4_t sums = vdupq_n_s32(0);
  __asm__("sdot %0.4s, %1.16b, %2.16b" : "+w"(sums) : "w"(codes), "w"(activations));
  return sums;
}

using Dots = ExactDots;

/// The product of a group with 32 activations, in lanes, exactly: each half of the codes in its half of the lanes.
template <CodeLayout layout>
RWKV_INLINE Lanes dot32(const Groups& groups, Index group, const std::int8_t* activations) noexcept {
  const int8x16x2_t codes = neon::load_codes<layout>(groups, group);
  const int32x4_t first = dot16(codes.val[0], vld1q_s8(activations));
  const int32x4_t second = dot16(codes.val[1], vld1q_s8(activations + 16));
  return {vcvtq_f32_s32(vpaddq_s32(first, second))};
}

}  // namespace kernels::RWKV_ISA
RWKV_NAMESPACE_END

#include "rwkv/kernels/integer.inl.hpp"

#undef RWKV_INLINE
#undef RWKV_ATTR
#undef RWKV_ISA
#endif
