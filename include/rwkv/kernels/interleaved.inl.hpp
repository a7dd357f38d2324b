// SPDX-License-Identifier: MIT
// Part of avx512_vnni.hpp: products of interleaved rows of blocks (kernels/interleave.hpp) with rounded activations.
// Lanes are rows: an instruction multiplies four codes of each of 16 rows with four activations, broadcast.

RWKV_NAMESPACE_BEGIN
namespace kernels::RWKV_ISA {

/// Codes as they are stored, without a sign, and which of them stands for 0.
struct InterleavedQ8_0 {
  static constexpr Index code_bytes = 32;
  static constexpr float zero = 128;
};
struct InterleavedQ4_0 {
  static constexpr Index code_bytes = 16;
  static constexpr float zero = 8;
  RWKV_INLINE static __m512i codes(__m512i nibbles) noexcept { return nibbles; }
};
struct InterleavedIQ4_NL {
  static constexpr Index code_bytes = 16;
  static constexpr float zero = 128;
  RWKV_INLINE static __m512i codes(__m512i nibbles) noexcept {
    alignas(16) static constexpr std::array<std::uint8_t, 16> values = [] {
      std::array<std::uint8_t, 16> shifted{};
      for (std::size_t i = 0; i < 16; ++i) shifted[i] = static_cast<std::uint8_t>(iq4_values[i] + 128);
      return shifted;
    }();
    const __m128i table = _mm_load_si128(reinterpret_cast<const __m128i*>(values.data()));
    return _mm512_maskz_shuffle_epi8(~__mmask64{0}, _mm512_maskz_broadcast_i32x4(0xffff, table), nibbles);
  }
};

inline constexpr Index prefetch_bytes = 2048;

RWKV_INLINE __m512i four_activations(const RoundedRow& x, Index at) noexcept {
  std::int32_t four;
  std::memcpy(&four, x.codes() + at, sizeof(four));
  return _mm512_set1_epi32(four);
}

/// sums[g][t] += the products of a block of 16 rows of each group with n_tokens tokens.
template <class Format, int n_groups, int n_tokens>
RWKV_INLINE void multiply_block(const std::byte* const (&groups)[n_groups], Index block, const RoundedRow* x,
                                __m512 (&sums)[n_groups][n_tokens]) noexcept {
  constexpr Index scale_bytes = 32, block_bytes = 16 * Format::code_bytes + scale_bytes;
  const __m512i low = _mm512_set1_epi8(15);
  RWKV_UNROLL
  for (int g = 0; g < n_groups; ++g) {
    const std::byte* const at = groups[g] + block * block_bytes;
    for (Index i = 0; i < block_bytes; i += 64) __builtin_prefetch(at + prefetch_bytes + i);
    __m512i products[n_tokens][2];
    RWKV_UNROLL
    for (auto& two : products) two[0] = two[1] = _mm512_setzero_si512();
    RWKV_UNROLL
    for (int i = 0; i < Format::code_bytes / 4; ++i) {
      const __m512i bytes = load_512(at + scale_bytes + 64 * i);
      if constexpr (Format::code_bytes == 32) {
        RWKV_UNROLL
        for (int t = 0; t < n_tokens; ++t) {
          products[t][i % 2] =
              _mm512_dpbusd_epi32(products[t][i % 2], bytes, four_activations(x[t], block * group_size + 4 * i));
        }
      } else {
        const __m512i first = Format::codes(_mm512_and_si512(bytes, low));
        const __m512i second = Format::codes(_mm512_and_si512(_mm512_maskz_srli_epi16(~__mmask32{0}, bytes, 4), low));
        RWKV_UNROLL
        for (int t = 0; t < n_tokens; ++t) {
          const Index number = block * group_size + 4 * i;
          products[t][0] = _mm512_dpbusd_epi32(products[t][0], first, four_activations(x[t], number));
          products[t][1] = _mm512_dpbusd_epi32(products[t][1], second, four_activations(x[t], number + 16));
        }
      }
    }
    const __m256i halves = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at));
    const __m512 scales = _mm512_maskz_cvtph_ps(0xffff, halves);
    RWKV_UNROLL
    for (int t = 0; t < n_tokens; ++t) {
      const __m512 dots = as_floats(_mm512_add_epi32(products[t][0], products[t][1]));
      const __m512 offset = _mm512_set1_ps(-Format::zero * x[t].sums(1)[block]);
      sums[g][t] =
          _mm512_fmadd_ps(_mm512_fmadd_ps(dots, _mm512_set1_ps(x[t].scales(1)[block]), offset), scales, sums[g][t]);
    }
  }
}

/// Groups of rows `share` apart, as many streams of memory: the first, and those before `end`.
template <class Format, int n_groups, int n_tokens>
RWKV_INLINE void multiply_groups(const std::byte* weight, Index n_in, const RoundedRow* x, float* y, Index n_out,
                                 Index first, Index share, Index end) noexcept {
  const Index n_blocks = n_in / group_size, group_bytes = n_blocks * (16 * Format::code_bytes + 32);
  const std::byte* groups[n_groups];
  __m512 sums[n_groups][n_tokens];
  for (int g = 0; g < n_groups; ++g) {
    groups[g] = weight + (first + g * share < end ? first + g * share : first) * group_bytes;
    for (__m512& sum : sums[g]) sum = _mm512_setzero_ps();
  }
  for (Index block = 0; block < n_blocks; ++block) multiply_block<Format>(groups, block, x, sums);
  for (int g = 0; g < n_groups && first + g * share < end; ++g) {
    for (int t = 0; t < n_tokens; ++t) _mm512_storeu_ps(y + t * n_out + (first + g * share) * 16, sums[g][t]);
  }
}

template <class Format, int n_groups, int n_tokens>
RWKV_INLINE void multiply_share(const std::byte* weight, Index n_in, const RoundedRow* x, float* y, Index n_out,
                                Index begin, Index end) noexcept {
  const Index share = (end - begin + n_groups - 1) / n_groups;
  for (Index group = begin; group < begin + share; ++group) {
    multiply_groups<Format, n_groups, n_tokens>(weight, n_in, x, y, n_out, group, share, end);
  }
}

/// begin and end are multiples of 16.
template <class Format>
RWKV_ATTR void multiply_interleaved(const std::byte* weight, Index n_in, const RoundedRow* x, Index n_tokens, float* y,
                                    Index n_out, Index begin, Index end) noexcept {
  Index t = 0;
  for (; t + 4 <= n_tokens; t += 4) {
    multiply_share<Format, 2, 4>(weight, n_in, x + t, y + t * n_out, n_out, begin / 16, end / 16);
  }
  for (; t < n_tokens; ++t) {
    multiply_share<Format, 4, 1>(weight, n_in, x + t, y + t * n_out, n_out, begin / 16, end / 16);
  }
}

inline void set_interleaved(RoundedProducts& products) noexcept {
  const auto set = [&](DType dtype, auto multiply) {
    products.multiply_interleaved[static_cast<std::size_t>(dtype)] = multiply;
  };
  set(DType::q8_0, multiply_interleaved<InterleavedQ8_0>);
  set(DType::q4_0, multiply_interleaved<InterleavedQ4_0>);
  set(DType::iq4_nl, multiply_interleaved<InterleavedIQ4_NL>);
}

}  // namespace kernels::RWKV_ISA
RWKV_NAMESPACE_END
