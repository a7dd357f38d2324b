// SPDX-License-Identifier: MIT
// Kernels for AVX-512 (F, BW, VL, DQ), whatever flags the program is compiled with.
#pragma once

#include "rwkv/kernels/avx2.hpp"

#if RWKV_HAS_X86
#include <immintrin.h>

#include <cstring>

#define RWKV_ISA avx512
#define RWKV_ISA_VALUE Isa::avx512
#define RWKV_ATTR __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,f16c")))
#define RWKV_INLINE __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,f16c"), always_inline)) inline

RWKV_NAMESPACE_BEGIN
namespace kernels::RWKV_ISA {

using Scalar = float;

/// g++ 12 warns of uninitialised values inside its own headers for the plain forms of some intrinsics. Their
/// zero-masking forms with all lanes chosen compile to the same instructions.
inline constexpr __mmask16 every_lane = 0xffff;

struct Lanes {
  static constexpr Index count = 16;
  static constexpr Index gemm_rows = 12;  // 12 x 2 sums, 2 activations, 1 weight: 27 of 32 registers
  static constexpr int few_rows = 4;      // 4 x 4 sums, 4 weights; activations are read from memory
  static constexpr int tile_vectors = 4;  // 4 x 4 sums, 4 of a row, 1 factor: 21 of 32 registers
  __m512 values;

  RWKV_INLINE static Lanes set(float value) noexcept { return {_mm512_set1_ps(value)}; }
  RWKV_INLINE static Lanes load(const float* from) noexcept { return {_mm512_loadu_ps(from)}; }
  RWKV_INLINE static Lanes load_first(const float* from, Index n) noexcept {
    return {_mm512_maskz_loadu_ps(first_lanes(n), from)};
  }
  RWKV_INLINE static Lanes load_f32(const std::byte* from) noexcept {
    return {_mm512_castsi512_ps(_mm512_loadu_si512(from))};
  }
  RWKV_INLINE static Lanes load_f16(const std::byte* from) noexcept {
    return {_mm512_maskz_cvtph_ps(every_lane, load_256(from))};
  }
  RWKV_INLINE static Lanes load_bf16(const std::byte* from) noexcept {
    const __m512i wide = _mm512_maskz_cvtepu16_epi32(every_lane, load_256(from));
    return {_mm512_castsi512_ps(_mm512_maskz_slli_epi32(every_lane, wide, 16))};
  }
  RWKV_INLINE static Lanes load_f64(const std::byte* from) noexcept {
    __m512d halves[2];
    std::memcpy(halves, from, sizeof(halves));
    const __m512 low = _mm512_castps256_ps512(_mm512_maskz_cvtpd_ps(0xff, halves[0]));
    return {_mm512_insertf32x8(low, _mm512_maskz_cvtpd_ps(0xff, halves[1]), 1)};
  }
  RWKV_INLINE static Lanes load_u8(const std::byte* from) noexcept {
    return {_mm512_maskz_cvtepi32_ps(every_lane, _mm512_maskz_cvtepu8_epi32(every_lane, load_128(from)))};
  }
  RWKV_INLINE static Lanes load_i8(const std::byte* from) noexcept {
    return {_mm512_maskz_cvtepi32_ps(every_lane, _mm512_maskz_cvtepi8_epi32(every_lane, load_128(from)))};
  }
  RWKV_INLINE friend Lanes operator+(Lanes a, Lanes b) noexcept { return {_mm512_add_ps(a.values, b.values)}; }
  RWKV_INLINE friend Lanes operator-(Lanes a, Lanes b) noexcept { return {_mm512_sub_ps(a.values, b.values)}; }
  RWKV_INLINE friend Lanes operator*(Lanes a, Lanes b) noexcept { return {_mm512_mul_ps(a.values, b.values)}; }
  RWKV_INLINE friend Lanes operator/(Lanes a, Lanes b) noexcept { return {_mm512_div_ps(a.values, b.values)}; }
  RWKV_INLINE static Lanes fma(Lanes a, Lanes b, Lanes c) noexcept {
    return {_mm512_fmadd_ps(a.values, b.values, c.values)};
  }
  RWKV_INLINE static Lanes max(Lanes a, Lanes b) noexcept {
    return {_mm512_maskz_max_ps(every_lane, a.values, b.values)};
  }
  RWKV_INLINE static Lanes min(Lanes a, Lanes b) noexcept {
    return {_mm512_maskz_min_ps(every_lane, a.values, b.values)};
  }
  RWKV_INLINE static Lanes where_less(Lanes a, Lanes b, Lanes yes, Lanes no) noexcept {
    return {_mm512_mask_blend_ps(_mm512_cmp_ps_mask(a.values, b.values, _CMP_LT_OQ), no.values, yes.values)};
  }
  RWKV_INLINE static Lanes round(Lanes a) noexcept {
    return {_mm512_maskz_roundscale_ps(every_lane, a.values, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
  }
  RWKV_INLINE static Lanes scale(Lanes a, Lanes n) noexcept {
    return {_mm512_maskz_scalef_ps(every_lane, a.values, n.values)};
  }
  RWKV_INLINE void store(float* to) const noexcept { _mm512_storeu_ps(to, values); }
  RWKV_INLINE void store_first(float* to, Index n) const noexcept { _mm512_mask_storeu_ps(to, first_lanes(n), values); }
  RWKV_INLINE float first() const noexcept { return _mm512_cvtss_f32(values); }
  RWKV_INLINE float total() const noexcept {
    const __m256 eight = halves_added();
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps(two, two, 1)));
  }
  /// The totals of four, with fewer instructions.
  RWKV_INLINE static void store_totals(const Lanes (&lanes)[4], float* to) noexcept {
    const __m256 pairs = _mm256_hadd_ps(_mm256_hadd_ps(lanes[0].halves_added(), lanes[1].halves_added()),
                                        _mm256_hadd_ps(lanes[2].halves_added(), lanes[3].halves_added()));
    _mm_storeu_ps(to, _mm_add_ps(_mm256_castps256_ps128(pairs), _mm256_extractf128_ps(pairs, 1)));
  }

private:
  RWKV_INLINE static __mmask16 first_lanes(Index n) noexcept {
    return n < count ? static_cast<__mmask16>((1u << n) - 1) : every_lane;
  }
  RWKV_INLINE __m256 halves_added() const noexcept {
    return _mm256_add_ps(_mm512_maskz_extractf32x8_ps(0xff, values, 0), _mm512_maskz_extractf32x8_ps(0xff, values, 1));
  }
  RWKV_INLINE static __m128i load_128(const std::byte* from) noexcept {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
  }
  RWKV_INLINE static __m256i load_256(const std::byte* from) noexcept {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
  }
};

namespace unpacking = avx2;

}  // namespace kernels::RWKV_ISA
RWKV_NAMESPACE_END

// Each needs those before it.
#include "rwkv/kernels/math.inl.hpp"

#include "rwkv/kernels/all.inl.hpp"

#undef RWKV_INLINE
#undef RWKV_ATTR
#undef RWKV_ISA_VALUE
#undef RWKV_ISA
#endif
