// SPDX-License-Identifier: MIT
// Kernels for AVX2 with FMA and F16C, whatever flags the program is compiled with.
#pragma once

#include "rwkv/kernels/table.hpp"

#if RWKV_HAS_X86
#include <immintrin.h>

#include <cstring>

#define RWKV_ISA avx2
#define RWKV_ISA_VALUE Isa::avx2
#define RWKV_ATTR __attribute__((target("avx2,fma,f16c")))
#define RWKV_INLINE __attribute__((target("avx2,fma,f16c"), always_inline)) inline

RWKV_NAMESPACE_BEGIN
namespace kernels::RWKV_ISA {

using Scalar = float;

struct Lanes {
  static constexpr Index count = 8;
  static constexpr Index gemm_rows = 6;   // 6 x 2 sums, 2 activations, 1 weight: 15 of 16 registers
  static constexpr int few_rows = 2;      // 2 x 4 sums, 2 weights; activations are read from memory
  static constexpr int tile_vectors = 2;  // 4 x 2 sums, 2 of a row, 1 factor: 11 of 16 registers
  __m256 values;

  RWKV_INLINE static Lanes set(float value) noexcept { return {_mm256_set1_ps(value)}; }
  /// Two values, each in one half.
  RWKV_INLINE static Lanes set_halves(const float* from) noexcept {
    return {_mm256_set_m128(_mm_set1_ps(from[1]), _mm_set1_ps(from[0]))};
  }
  RWKV_INLINE static Lanes load(const float* from) noexcept { return {_mm256_loadu_ps(from)}; }
  RWKV_INLINE static Lanes load_first(const float* from, Index n) noexcept {
    return n < count ? Lanes{_mm256_maskload_ps(from, first_lanes(n))} : load(from);
  }
  RWKV_INLINE static Lanes load_f32(const std::byte* from) noexcept {
    return {_mm256_castsi256_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)))};
  }
  RWKV_INLINE static Lanes load_f16(const std::byte* from) noexcept { return {_mm256_cvtph_ps(load_128(from))}; }
  RWKV_INLINE static Lanes load_bf16(const std::byte* from) noexcept {
    return {_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(load_128(from)), 16))};
  }
  RWKV_INLINE static Lanes load_f64(const std::byte* from) noexcept {
    __m256d halves[2];
    std::memcpy(halves, from, sizeof(halves));
    return {_mm256_set_m128(_mm256_cvtpd_ps(halves[1]), _mm256_cvtpd_ps(halves[0]))};
  }
  RWKV_INLINE static Lanes load_u8(const std::byte* from) noexcept {
    return {_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(load_64(from)))};
  }
  RWKV_INLINE static Lanes load_i8(const std::byte* from) noexcept {
    return {_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(load_64(from)))};
  }
  /// One stored number, in all lanes.
  RWKV_INLINE static Lanes set_f16(const std::byte* from) noexcept {
    std::uint16_t bits;
    std::memcpy(&bits, from, sizeof(bits));
    return {_mm256_cvtph_ps(_mm_set1_epi16(static_cast<short>(bits)))};
  }
  RWKV_INLINE friend Lanes operator+(Lanes a, Lanes b) noexcept { return {_mm256_add_ps(a.values, b.values)}; }
  RWKV_INLINE friend Lanes operator-(Lanes a, Lanes b) noexcept { return {_mm256_sub_ps(a.values, b.values)}; }
  RWKV_INLINE friend Lanes operator*(Lanes a, Lanes b) noexcept { return {_mm256_mul_ps(a.values, b.values)}; }
  RWKV_INLINE friend Lanes operator/(Lanes a, Lanes b) noexcept { return {_mm256_div_ps(a.values, b.values)}; }
  RWKV_INLINE static Lanes fma(Lanes a, Lanes b, Lanes c) noexcept {
    return {_mm256_fmadd_ps(a.values, b.values, c.values)};
  }
  RWKV_INLINE static Lanes max(Lanes a, Lanes b) noexcept { return {_mm256_max_ps(a.values, b.values)}; }
  RWKV_INLINE static Lanes min(Lanes a, Lanes b) noexcept { return {_mm256_min_ps(a.values, b.values)}; }
  RWKV_INLINE static Lanes where_less(Lanes a, Lanes b, Lanes yes, Lanes no) noexcept {
    return {_mm256_blendv_ps(no.values, yes.values, _mm256_cmp_ps(a.values, b.values, _CMP_LT_OQ))};
  }
  RWKV_INLINE static Lanes round(Lanes a) noexcept {
    return {_mm256_round_ps(a.values, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
  }
  RWKV_INLINE static Lanes scale(Lanes a, Lanes n) noexcept {
    const __m256i exponent = _mm256_add_epi32(_mm256_cvtps_epi32(n.values), _mm256_set1_epi32(127));
    return {_mm256_mul_ps(a.values, _mm256_castsi256_ps(_mm256_slli_epi32(exponent, 23)))};
  }
  RWKV_INLINE void store(float* to) const noexcept { _mm256_storeu_ps(to, values); }
  RWKV_INLINE void store_first(float* to, Index n) const noexcept {
    n < count ? _mm256_maskstore_ps(to, first_lanes(n), values) : store(to);
  }
  /// Of integers in -128 .. 127; anything else becomes some number.
  RWKV_INLINE void store_i8(std::int8_t* to) const noexcept {
    const __m256i wide = _mm256_cvtps_epi32(values);
    const __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(wide), _mm256_extracti128_si256(wide, 1));
    _mm_storel_epi64(reinterpret_cast<__m128i*>(to), _mm_packs_epi16(words, words));
  }
  RWKV_INLINE float first() const noexcept { return _mm256_cvtss_f32(values); }
  RWKV_INLINE float largest() const noexcept {
    const __m128 four = _mm_max_ps(_mm256_castps256_ps128(values), _mm256_extractf128_ps(values, 1));
    const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(two, _mm_shuffle_ps(two, two, 1)));
  }
  RWKV_INLINE float total() const noexcept {
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(values), _mm256_extractf128_ps(values, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps(two, two, 1)));
  }
  /// The totals of four, with half the instructions.
  RWKV_INLINE static void store_totals(const Lanes (&lanes)[4], float* to) noexcept {
    const __m256 pairs = _mm256_hadd_ps(_mm256_hadd_ps(lanes[0].values, lanes[1].values),
                                        _mm256_hadd_ps(lanes[2].values, lanes[3].values));
    _mm_storeu_ps(to, _mm_add_ps(_mm256_castps256_ps128(pairs), _mm256_extractf128_ps(pairs, 1)));
  }

private:
  RWKV_INLINE static __m256i first_lanes(Index n) noexcept {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n)), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
  }
  RWKV_INLINE static __m128i load_64(const std::byte* from) noexcept {
    return _mm_loadl_epi64(reinterpret_cast<const __m128i*>(from));
  }
  RWKV_INLINE static __m128i load_128(const std::byte* from) noexcept {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
  }
};

/// The values of 16 codes of iq4_nl.
RWKV_INLINE Bytes in_iq4_values(Bytes codes) noexcept {
  const __m128i values = _mm_loadu_si128(reinterpret_cast<const __m128i*>(iq4_values));
  return reinterpret_cast<Bytes>(_mm_shuffle_epi8(values, reinterpret_cast<__m128i>(codes)));
}

/// The 32 codes of a group.
template <CodeLayout layout>
RWKV_INLINE __m256i load_codes(const Groups& groups, Index group) noexcept {
  const std::byte* const from = groups.at<layout>(group);
  const __m256i low_half = _mm256_set1_epi8(15);
  if constexpr (layout == CodeLayout::nibbles) {
    const __m128i both = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
    return _mm256_and_si256(_mm256_set_m128i(_mm_srli_epi16(both, 4), both), low_half);
  }
  const __m256i bytes = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
  if constexpr (layout == CodeLayout::nibble_pairs) {
    return _mm256_and_si256(group % 2 == 0 ? bytes : _mm256_srli_epi16(bytes, 4), low_half);
  }
  return bytes;
}

using Dots = ExactDots;

/// The product of a group with 32 activations, in lanes, exactly: of codes up to 63, or signed ones.
template <CodeLayout layout>
RWKV_INLINE Lanes dot32(const Groups& groups, Index group, const std::int8_t* activations) noexcept {
  const __m256i c = load_codes<layout>(groups, group);
  const __m256i x = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(activations));
  // The instruction takes unsigned times signed numbers, and sums of two products up to 32767.
  const __m256i pairs = layout == CodeLayout::signed_bytes
                            ? _mm256_maddubs_epi16(_mm256_abs_epi8(c), _mm256_sign_epi8(x, c))
                            : _mm256_maddubs_epi16(c, x);
  return {_mm256_cvtepi32_ps(_mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))};
}

namespace unpacking = avx2;

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
