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
  static constexpr int tile_vectors = 2;  // 4 x 2 sums, 2 of a row, 1 factor: 11 of 16 registers
  __m256 values;

  RWKV_INLINE static Lanes set(float value) noexcept { return {_mm256_set1_ps(value)}; }
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
  RWKV_INLINE float first() const noexcept { return _mm256_cvtss_f32(values); }
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
  RWKV_INLINE static __m128i load_128(const std::byte* from) noexcept {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
  }
};

/// As many bytes as there are lanes; the upper half of the register is not looked at.
struct Bytes {
  __m128i values;

  RWKV_INLINE static Bytes load(const std::byte* from) noexcept {
    return {_mm_loadl_epi64(reinterpret_cast<const __m128i*>(from))};
  }
  /// `value` where the bit of that number is set, else 0.
  RWKV_INLINE static Bytes where_bit(std::uint32_t bits, std::uint8_t value) noexcept {
    const __m128i each = _mm_set1_epi64x(static_cast<long long>(0x8040201008040201u));
    const __m128i found = _mm_and_si128(_mm_set1_epi8(static_cast<char>(bits)), each);
    return {_mm_and_si128(_mm_cmpeq_epi8(found, each), _mm_set1_epi8(static_cast<char>(value)))};
  }
  RWKV_INLINE friend Bytes operator|(Bytes a, Bytes b) noexcept { return {_mm_or_si128(a.values, b.values)}; }
  /// (each >> n) & mask
  RWKV_INLINE Bytes field(int n, std::uint8_t mask) const noexcept {
    return {_mm_and_si128(_mm_srl_epi16(values, _mm_cvtsi32_si128(n)), _mm_set1_epi8(static_cast<char>(mask)))};
  }
  RWKV_INLINE Bytes times16() const noexcept { return {_mm_slli_epi16(values, 4)}; }  // of bytes below 16
  /// table[each], for bytes below 16.
  RWKV_INLINE Bytes in_table(const std::int8_t (&table)[16]) const noexcept {
    return {_mm_shuffle_epi8(_mm_loadu_si128(reinterpret_cast<const __m128i*>(table)), values)};
  }
  RWKV_INLINE Lanes from_unsigned() const noexcept { return {_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(values))}; }
  RWKV_INLINE Lanes from_signed() const noexcept { return {_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(values))}; }
};

struct Codes4ByArithmetic;
using Codes4 = Codes4ByArithmetic;

}  // namespace kernels::RWKV_ISA
RWKV_NAMESPACE_END

#include "rwkv/kernels/all.inl.hpp"

#undef RWKV_INLINE
#undef RWKV_ATTR
#undef RWKV_ISA_VALUE
#undef RWKV_ISA
#endif
