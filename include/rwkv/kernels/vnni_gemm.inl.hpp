// SPDX-License-Identifier: MIT
// Part of avx512_vnni.hpp: products of weights in blocks with many rounded rows, lanes along tokens. An instruction
// multiplies four codes of a row of weights, broadcast, with four of each of 16 tokens.

RWKV_NAMESPACE_BEGIN
namespace kernels::RWKV_ISA {

RWKV_INLINE __m512i load_512(const void* from) noexcept { return _mm512_loadu_si512(from); }
RWKV_INLINE __m512 as_floats(__m512i numbers) noexcept { return _mm512_maskz_cvtepi32_ps(0xffff, numbers); }

inline constexpr Index gemm_tokens = 16, gemm_rows = 6, gemm_blocks = 2;  // 6 x 2 tiles of 16: 24 of 32 registers

/// A group of 32 numbers of 16 tokens.
struct alignas(64) PackedGroup {
  std::int8_t codes[8][gemm_tokens][4];
  float scales[gemm_tokens];
  std::int32_t sums[2][gemm_tokens];  ///< of the codes of each half
};

/// Of tokens [16 b, 16 b + 16) for blocks b in [begin, end): packed[b][group], zeros after the last token.
RWKV_ATTR inline void pack_rounded(const RoundedRow* rows, Index n_tokens, Index n_in, std::byte* packed, Index begin,
                                   Index end) noexcept {
  const Index n_groups = n_in / group_size;
  for (Index block = begin; block < end; ++block) {
    auto* const to = reinterpret_cast<PackedGroup*>(packed) + block * n_groups;
    for (Index t = 0; t < gemm_tokens; ++t) {
      const Index token = block * gemm_tokens + t;
      for (Index g = 0; g < n_groups; ++g) {
        PackedGroup& group = to[g];
        if (token >= n_tokens) {
          for (int j = 0; j < 8; ++j) std::memset(group.codes[j][t], 0, 4);
          group.scales[t] = 0;
          group.sums[0][t] = group.sums[1][t] = 0;
          continue;
        }
        const std::int8_t* const codes = rows[token].codes() + g * group_size;
        for (int j = 0; j < 8; ++j) std::memcpy(group.codes[j][t], codes + 4 * j, 4);
        group.scales[t] = rows[token].scales(1)[g];
        for (int half = 0; half < 2; ++half) {
          const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(codes + half * 16));
          const __m128i words = _mm_maddubs_epi16(_mm_set1_epi8(1), bytes);
          const __m128i four = _mm_madd_epi16(words, _mm_set1_epi16(1));
          const __m128i two = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0x4e));
          group.sums[half][t] = _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32(two, 0xb1)));
        }
      }
    }
  }
}

/// Rows of weights unpacked to unsigned codes, in scratch of one thread.
struct UnpackedRows {
  std::byte* codes;  // [gemm_rows, n_in]
  float* scales;     // [gemm_rows, n_in / 16], of which each row uses the first n_in / 32 n_scales
  float* offsets;    // the same
  Index n_in;

  [[nodiscard]] static constexpr Index n_bytes(Index n) noexcept { return gemm_rows * n * 3 / 2; }

  RWKV_INLINE UnpackedRows(std::byte* scratch, Index n) noexcept
      : codes(scratch),
        scales(reinterpret_cast<float*>(scratch + gemm_rows * n)),
        offsets(scales + gemm_rows * n / 16),
        n_in(n) {}
};

/// Codes that were signed have 128 added.
template <class Packed>
RWKV_ATTR void unpack_row(const std::byte* from, const UnpackedRows& to, Index row) noexcept {
  Groups groups;
  const Index n_groups = to.n_in / group_size;
  for (Index first = 0; first < n_groups; first += Groups::most) {
    const Index n = n_groups - first < Groups::most ? n_groups - first : Groups::most;
    Packed::unpack(from + first * group_size / Packed::block * Packed::size, n, groups);
    for (Index g = 0; g < n; ++g) {
      const auto* const codes = reinterpret_cast<const __m256i*>(groups.codes + g * groups.stride);
      auto* const unsigned_codes = reinterpret_cast<__m256i*>(to.codes + row * to.n_in + (first + g) * group_size);
      const char flip = Packed::layout == CodeLayout::signed_bytes ? static_cast<char>(0x80) : 0;
      _mm256_storeu_si256(unsigned_codes, _mm256_xor_si256(_mm256_loadu_si256(codes), _mm256_set1_epi8(flip)));
    }
    const Index at = row * to.n_in / 16 + first * Packed::n_scales, n_numbers = n * Packed::n_scales;
    for (Index i = 0; i < n_numbers; ++i) {
      to.scales[at + i] = groups.scales[i];
      if constexpr (Packed::layout != CodeLayout::signed_bytes) to.offsets[at + i] = groups.offsets[i];
    }
  }
}

/// y[r][t] of one tile: gemm_rows rows and n_blocks blocks of tokens. `zero` is the code that stands for 0 in types
/// without minima; those with minima have 0 and offsets.
template <int n_scales, bool has_minima, int n_blocks>
RWKV_INLINE void multiply_tile(const UnpackedRows& rows, int zero, const PackedGroup* x,
                               float (&y)[gemm_rows][gemm_blocks * gemm_tokens]) noexcept {
  const Index n_groups = rows.n_in / group_size;
  __m512 sums[gemm_rows][n_blocks];
  RWKV_UNROLL
  for (auto& row : sums) {
    RWKV_UNROLL
    for (__m512& sum : row) sum = _mm512_setzero_ps();
  }
  for (Index g = 0; g < n_groups; ++g) {
    RWKV_UNROLL
    for (int part = 0; part < n_scales; ++part) {
      __m512i products[gemm_rows][n_blocks];
      RWKV_UNROLL
      for (int b = 0; b < n_blocks; ++b) {
        const PackedGroup& group = x[b * n_groups + g];
        const __m512i codes_sum = n_scales == 2 ? load_512(group.sums[part])
                                                : _mm512_add_epi32(load_512(group.sums[0]), load_512(group.sums[1]));
        const __m512i start = _mm512_mullo_epi32(codes_sum, _mm512_set1_epi32(-zero));
        RWKV_UNROLL
        for (int r = 0; r < gemm_rows; ++r) products[r][b] = start;
      }
      RWKV_UNROLL
      for (int j = part * 8 / n_scales; j < (part + 1) * 8 / n_scales; ++j) {
        RWKV_UNROLL
        for (int r = 0; r < gemm_rows; ++r) {
          std::int32_t four;
          std::memcpy(&four, rows.codes + r * rows.n_in + g * group_size + 4 * j, sizeof(four));
          const __m512i weights = _mm512_set1_epi32(four);
          RWKV_UNROLL
          for (int b = 0; b < n_blocks; ++b) {
            products[r][b] = _mm512_dpbusd_epi32(products[r][b], weights, load_512(x[b * n_groups + g].codes[j]));
          }
        }
      }
      RWKV_UNROLL
      for (int b = 0; b < n_blocks; ++b) {
        const __m512 scales = _mm512_loadu_ps(x[b * n_groups + g].scales);
        RWKV_UNROLL
        for (int r = 0; r < gemm_rows; ++r) {
          const __m512 scale = _mm512_set1_ps(rows.scales[r * rows.n_in / 16 + g * n_scales + part]);
          sums[r][b] = _mm512_fmadd_ps(_mm512_mul_ps(as_floats(products[r][b]), scales), scale, sums[r][b]);
        }
      }
    }
    if constexpr (has_minima) {
      RWKV_UNROLL
      for (int b = 0; b < n_blocks; ++b) {
        const PackedGroup& group = x[b * n_groups + g];
        const __m512i codes_sum = _mm512_add_epi32(load_512(group.sums[0]), load_512(group.sums[1]));
        const __m512 sum = _mm512_mul_ps(as_floats(codes_sum), _mm512_loadu_ps(group.scales));
        RWKV_UNROLL
        for (int r = 0; r < gemm_rows; ++r) {
          sums[r][b] = _mm512_fmadd_ps(_mm512_set1_ps(rows.offsets[r * rows.n_in / 16 + g]), sum, sums[r][b]);
        }
      }
    }
  }
  RWKV_UNROLL
  for (int r = 0; r < gemm_rows; ++r) {
    RWKV_UNROLL
    for (int b = 0; b < n_blocks; ++b) _mm512_storeu_ps(y[r] + b * gemm_tokens, sums[r][b]);
  }
}

using UnpackRow = void (*)(const std::byte* from, const UnpackedRows& to, Index row) noexcept;

template <int n_scales, bool has_minima>
RWKV_ATTR RWKV_NOINLINE void gemm_unpacked(UnpackRow unpack, Index row_bytes, int zero, const std::byte* weight,
                                           Index n_in, const std::byte* packed, Index n_tokens, float* y, Index n_out,
                                           Index begin, Index end, std::byte* scratch) noexcept {
  const UnpackedRows rows(scratch, n_in);
  const auto* const x = reinterpret_cast<const PackedGroup*>(packed);
  constexpr Index most = gemm_blocks * gemm_tokens;
  float results[gemm_rows][most];
  for (Index first = begin; first < end; first += gemm_rows) {
    const Index n_rows = end - first < gemm_rows ? end - first : gemm_rows;
    // Fewer rows in the last tile: the others are the last one again, and nobody looks at their results.
    for (Index r = 0; r < gemm_rows; ++r) {
      const std::byte* const from = weight + (first + (r < n_rows ? r : n_rows - 1)) * row_bytes;
      const std::byte* const next = from + gemm_rows * row_bytes;  // of the next tile, needed after this product
      for (Index i = 0; i < row_bytes; i += 64) __builtin_prefetch(next + i, 0, 2);
      unpack(from, rows, r);
    }
    for (Index token = 0; token < n_tokens; token += most) {
      const Index left = n_tokens - token, n_here = left < most ? left : most;
      const PackedGroup* const tokens = x + token / gemm_tokens * (n_in / group_size);
      if (left > gemm_tokens) {
        multiply_tile<n_scales, has_minima, gemm_blocks>(rows, zero, tokens, results);
      } else {
        multiply_tile<n_scales, has_minima, 1>(rows, zero, tokens, results);
      }
      for (Index t = 0; t < n_here; ++t) {
        for (Index r = 0; r < n_rows; ++r) y[(token + t) * n_out + first + r] = results[r][t];
      }
    }
  }
}

template <class Packed>
RWKV_ATTR void gemm_rounded(const std::byte* weight, Index n_in, Index n_out, const std::byte* packed, Index n_tokens,
                            float* y, Index begin, Index end, std::byte* scratch) noexcept {
  constexpr bool is_signed = Packed::layout == CodeLayout::signed_bytes;
  gemm_unpacked<Packed::n_scales, Packed::has_minima>(unpack_row<Packed>, n_in / Packed::block * Packed::size,
                                                      is_signed ? 128 : Packed::zero, weight, n_in, packed, n_tokens, y,
                                                      n_out, begin, end, scratch);
}

template <class... Packed>
void set_gemm(RoundedProducts& products, unpacking::PackedTypes<Packed...>) noexcept {
  products.few_rows = 4;  // below that a tile of 16 tokens has too little to do
  products.most_rows = std::numeric_limits<Index>::max();
  products.gemm.rows = gemm_rows;
  products.gemm.tokens = gemm_tokens;
  products.gemm.packed_bytes = [](Index n_in) noexcept { return n_in / group_size * Index{sizeof(PackedGroup)}; };
  products.gemm.scratch_bytes = [](Index n_in) noexcept { return UnpackedRows::n_bytes(n_in); };
  products.gemm.pack = pack_rounded;
  ((products.gemm.multiply[static_cast<std::size_t>(Packed::dtype)] = gemm_rounded<Packed>), ...);
}

}  // namespace kernels::RWKV_ISA
RWKV_NAMESPACE_END
