// SPDX-License-Identifier: MIT
// Integer products with AVX-512 VNNI; everything else is that of AVX-512.
#pragma once

#include "rwkv/kernels/avx512.hpp"

#if RWKV_HAS_X86
#define RWKV_ISA avx512_vnni
#define RWKV_ATTR __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c")))
#define RWKV_INLINE \
  __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c"), always_inline)) inline

RWKV_NAMESPACE_BEGIN
namespace kernels::RWKV_ISA {

using avx2::Lanes;
using avx2::load;
namespace unpacking = avx2;

/// The product of a group with 32 activations, in lanes, exactly.
template <CodeLayout layout>
RWKV_INLINE Lanes dot32(const Groups& groups, Index group, const std::int8_t* activations) noexcept {
  const __m256i c = avx2::load_codes<layout>(groups, group);
  const __m256i x = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(activations));
  const __m256i zero = _mm256_setzero_si256();
  return {_mm256_cvtepi32_ps(layout == CodeLayout::signed_bytes
                                 ? _mm256_dpbusd_epi32(zero, _mm256_abs_epi8(c), _mm256_sign_epi8(x, c))
                                 : _mm256_dpbusd_epi32(zero, c, x))};
}

}  // namespace kernels::RWKV_ISA
RWKV_NAMESPACE_END

#include "rwkv/kernels/integer.inl.hpp"
#include "rwkv/kernels/vnni_gemm.inl.hpp"

#undef RWKV_INLINE
#undef RWKV_ATTR
#undef RWKV_ISA
#endif
