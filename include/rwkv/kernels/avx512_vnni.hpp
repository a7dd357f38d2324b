// SPDX-License-Identifier: MIT
// Integer products with AVX-512 VNNI; everything else is that of AVX-512.
#pragma once

#include "rwkv/kernels/avx512.hpp"

#if RWKV_HAS_X86
#include <limits>

#define RWKV_ISA avx512_vnni
#define RWKV_ATTR __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c")))
#define RWKV_INLINE \
  __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c"), always_inline)) inline

RWKV_NAMESPACE_BEGIN
namespace kernels::RWKV_ISA {

using avx2::Lanes;
using avx2::load;
namespace unpacking = avx2;

using Dots = ShiftedDots;

/// The product of a group with 32 activations, in lanes, of shifted codes.
template <CodeLayout layout>
RWKV_INLINE Lanes dot32(const Groups& groups, Index group, const std::int8_t* activations) noexcept {
  __m256i codes;
  if constexpr (layout == CodeLayout::nibbles) {
    const auto* const both = reinterpret_cast<const __m128i*>(groups.at<layout>(group));
    const __m256i halves = _mm256_blend_epi32(_mm256_set1_epi8(15), _mm256_set1_epi8(static_cast<char>(0xf0)), 0xf0);
    codes = _mm256_and_si256(_mm256_broadcastsi128_si256(_mm_loadu_si128(both)), halves);
  } else {
    codes = avx2::load_codes<layout>(groups, group);
    if (layout == CodeLayout::signed_bytes) codes = _mm256_xor_si256(codes, _mm256_set1_epi8(-128));
  }
  const __m256i x = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(activations));
  return {_mm256_cvtepi32_ps(_mm256_dpbusd_epi32(_mm256_setzero_si256(), codes, x))};
}

}  // namespace kernels::RWKV_ISA
RWKV_NAMESPACE_END

#include "rwkv/kernels/integer.inl.hpp"
#include "rwkv/kernels/vnni_gemm.inl.hpp"

#include "rwkv/kernels/interleaved.inl.hpp"

#undef RWKV_INLINE
#undef RWKV_ATTR
#undef RWKV_ISA
#endif
