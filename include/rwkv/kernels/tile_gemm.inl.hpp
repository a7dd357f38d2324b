// SPDX-License-Identifier: MIT
// Part of avx512_amx.hpp: products of stored weights with many rows, in tiles of 16 rows of 64 bytes.
//
// One instruction multiplies a tile of weights, 16 outputs x 32 inputs, with a tile of activations, 16 pairs of inputs
// x 16 tokens, all in bf16, and adds to 16 x 16 floats. A float is the sum of two bf16 numbers up to 2^-18 of it, so
// activations are packed in two parts, and weights are split so, unless they are stored in bf16. With weights in blocks
// the product of the two small parts is left out: it is far below what the blocks cost. Weights are widened panel by
// panel into the second-level cache.

RWKV_NAMESPACE_BEGIN
namespace kernels::RWKV_ISA {

inline constexpr Index tile_rows = 16, tile_bytes = 1024;
inline constexpr Index step = 32;           // inputs of a tile
inline constexpr Index block_tokens = 32;   // tokens of two tiles
inline constexpr Index panel_rows = 256;    // outputs
inline constexpr Index panel_inputs = 512;  // with 256 outputs in two parts half a megabyte
inline constexpr Index panel_tokens = 512;  // for which sums are kept until all inputs are added

[[nodiscard]] constexpr Index steps_of(Index n_inputs) noexcept { return (n_inputs + step - 1) / step; }

/// x = the sum of the two, up to 2^-18 of it.
struct Parts {
  __m256i large, small;

  RWKV_INLINE explicit Parts(__m512 x) noexcept {
    large = rounded(x);
    const __m512i widened = _mm512_maskz_slli_epi32(0xffff, _mm512_maskz_cvtepu16_epi32(0xffff, large), 16);
    small = rounded(_mm512_sub_ps(x, _mm512_castsi512_ps(widened)));
  }

private:
  RWKV_INLINE static __m256i rounded(__m512 x) noexcept {
    const auto bf16 = _mm512_maskz_cvtneps_pbh(0xffff, x);
    __m256i bits;
    static_assert(sizeof(bits) == sizeof(bf16));
    std::memcpy(&bits, &bf16, sizeof(bits));
    return bits;
  }
};

/// 32 numbers into a row of two tiles that follow each other.
RWKV_INLINE void store_parts(const float* x, std::byte* to) noexcept {
  for (Index half = 0; half < 2; ++half) {
    const Parts parts(_mm512_loadu_ps(x + 16 * half));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + 32 * half), parts.large);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + tile_bytes + 32 * half), parts.small);
  }
}

/// to[j][i] = from[i][j], 16 x 16 words of 4 bytes; to has rows of `stride` words.
RWKV_INLINE void transpose(const void* from, void* to, Index stride) noexcept {
  constexpr __mmask16 all = 0xffff;
  __m512i a[16], b[16];
  RWKV_UNROLL
  for (int i = 0; i < 16; ++i) a[i] = _mm512_loadu_si512(static_cast<const std::byte*>(from) + 64 * i);
  RWKV_UNROLL
  for (int i = 0; i < 16; i += 2) {
    b[i] = _mm512_maskz_unpacklo_epi32(all, a[i], a[i + 1]);
    b[i + 1] = _mm512_maskz_unpackhi_epi32(all, a[i], a[i + 1]);
  }
  RWKV_UNROLL
  for (int i = 0; i < 16; ++i) {
    const __m512i &x = b[i / 4 * 4 + i / 2 % 2], &y = b[i / 4 * 4 + i / 2 % 2 + 2];
    a[i] = i % 2 == 0 ? _mm512_maskz_unpacklo_epi64(0xff, x, y) : _mm512_maskz_unpackhi_epi64(0xff, x, y);
  }
  // Now a[4 q + j] has in its quarter l the words 4 l + j of the rows 4 q to 4 q + 3.
  RWKV_UNROLL
  for (int j = 0; j < 4; ++j) {
    RWKV_UNROLL
    for (int half = 0; half < 2; ++half) {
      const __m512i &x = a[8 * half + j], &y = a[8 * half + 4 + j];
      b[8 * half + j] = _mm512_maskz_shuffle_i32x4(all, x, y, 0x88);      // quarters 0 and 2 of both
      b[8 * half + 4 + j] = _mm512_maskz_shuffle_i32x4(all, x, y, 0xdd);  // quarters 1 and 3
    }
  }
  RWKV_UNROLL
  for (int j = 0; j < 8; ++j) {
    auto* const row = static_cast<std::uint32_t*>(to) + j * stride;
    _mm512_storeu_si512(row, _mm512_maskz_shuffle_i32x4(all, b[j], b[8 + j], 0x88));
    _mm512_storeu_si512(row + 8 * stride, _mm512_maskz_shuffle_i32x4(all, b[j], b[8 + j], 0xdd));
  }
}

/// The first n of 32 numbers, then zeros.
RWKV_INLINE void copy_first(const float* from, Index n, float* to) noexcept {
  for (Index i = 0; i < step; ++i) to[i] = i < n ? from[i] : 0;
}

/// packed[block][step][part][tokens 0 to 15, 16 to 31] is a tile.
RWKV_ATTR inline void pack_parts(const float* x, Index n_tokens, Index n_in, std::byte* packed, Index begin,
                                 Index end) noexcept {
  alignas(64) std::byte rows[2 * tile_bytes];
  const Index n_steps = steps_of(n_in);
  for (Index i = begin * n_steps; i < end * n_steps; ++i) {
    const Index first_token = i / n_steps * block_tokens, first_input = i % n_steps * step;
    for (Index half = 0; half < 2; ++half) {
      for (Index t = 0; t < tile_rows; ++t) {
        const Index token = first_token + half * tile_rows + t;
        float numbers[step] = {};
        if (token < n_tokens) copy_first(x + token * n_in + first_input, n_in - first_input, numbers);
        store_parts(numbers, rows + t * 64);
      }
      std::byte* const to = packed + i * 4 * tile_bytes + half * tile_bytes;
      transpose(rows, to, tile_rows);
      transpose(rows + tile_bytes, to + 2 * tile_bytes, tile_rows);
    }
  }
}

/// A panel of weights: [rows / 16][step][part] is a tile.
template <int n_parts>
struct Panel {
  std::byte* tiles;
  Index n_steps;

  RWKV_INLINE std::byte* at(Index row, Index s) const noexcept {
    return tiles + ((row / tile_rows * n_steps + s) * n_parts) * tile_bytes + row % tile_rows * 64;
  }
};

/// Rows [first, first + n_rows) of inputs [first_input, first_input + n), zeros after the last input. Other rows keep
/// what they had, and nobody looks at their results.
template <int n_parts>
RWKV_INLINE void fill_panel(const avx512::StoredRows& weight, Index first, Index n_rows, Index first_input, Index n,
                            const Panel<n_parts>& panel, float* widened) noexcept {
  for (Index r = 0; r < n_rows; ++r) {
    const std::byte* const from = weight.at(first + r, first_input);
    if constexpr (n_parts == 1) {  // bf16
      for (Index s = 0; s < panel.n_steps; ++s) {
        const Index n_here = n - s * step < step ? n - s * step : step;
        if (n_here < step) std::memset(panel.at(r, s), 0, 64);
        std::memcpy(panel.at(r, s), from + s * 64, static_cast<std::size_t>(2 * n_here));
      }
    } else {
      weight.expand(from, n, widened);
      for (Index i = n; i < panel.n_steps * step; ++i) widened[i] = 0;
      for (Index s = 0; s < panel.n_steps; ++s) store_parts(widened + s * step, panel.at(r, s));
    }
  }
}
template <int n_parts>
RWKV_INLINE void fill_panel(const WeightByInput<float>& weight, Index first, Index n_rows, Index first_input, Index n,
                            const Panel<n_parts>& panel, float* widened) noexcept {
  for (Index s = 0; s < panel.n_steps; ++s) {
    const Index n_here = n - s * step < step ? n - s * step : step;
    for (Index k = 0; k < n_here; ++k) {
      weight.expand(weight.at(first_input + s * step + k, first), n_rows, widened + k * panel_rows);
    }
    for (Index r = 0; r < n_rows; ++r) {
      float numbers[step];
      for (Index k = 0; k < step; ++k) numbers[k] = k < n_here ? widened[k * panel_rows + r] : 0;
      store_parts(numbers, panel.at(r, s));
    }
  }
}

/// What is to be read next from memory, while this is computed.
struct Ahead {
  const std::byte *at, *end;

  RWKV_INLINE void fetch_some() noexcept {
    for (int i = 0; i < 2 && at < end; ++i, at += 64) __builtin_prefetch(at, 0, 2);
  }
};
/// The panel that begins with row `first`.
RWKV_INLINE Ahead panel_ahead(const avx512::StoredRows& weight, Index first, Index end) noexcept {
  return {weight.at(first, 0), weight.at(end - first < panel_rows ? end : first + panel_rows, 0)};
}
/// Those are small.
RWKV_INLINE Ahead panel_ahead(const WeightByInput<float>&, Index, Index) noexcept { return {nullptr, nullptr}; }

/// Which products of parts are made: those of weights in one part, of weights in two parts without the small times the
/// small, all four.
enum class Products { of_one_part, large, all };

[[nodiscard]] constexpr int n_parts_of(Products products) noexcept { return products == Products::of_one_part ? 1 : 2; }

/// sums[2][2] tiles of 32 rows x 32 tokens (+)= weights times activations of n_steps steps.
template <Products products>
RWKV_INLINE void multiply_block(const Panel<n_parts_of(products)>& panel, Index row, const std::byte* x,
                                std::byte* sums, bool is_first, Ahead& ahead) noexcept {
  if (is_first) {
    Tiles::zero<0>(), Tiles::zero<1>(), Tiles::zero<2>(), Tiles::zero<3>();
  } else {
    Tiles::load<0>(sums), Tiles::load<1>(sums + tile_bytes);
    Tiles::load<2>(sums + 2 * tile_bytes), Tiles::load<3>(sums + 3 * tile_bytes);
  }
  for (Index s = 0; s < panel.n_steps; ++s, x += 4 * tile_bytes) {
    const std::byte *const upper = panel.at(row, s), *const lower = panel.at(row + tile_rows, s);
    ahead.fetch_some();
    Tiles::load<4>(upper), Tiles::load<5>(lower);
    Tiles::load<6>(x + 2 * tile_bytes), Tiles::load<7>(x + 3 * tile_bytes);  // the small part
    Tiles::multiply<0, 4, 6>(), Tiles::multiply<1, 4, 7>(), Tiles::multiply<2, 5, 6>(), Tiles::multiply<3, 5, 7>();
    Tiles::load<6>(x), Tiles::load<7>(x + tile_bytes);
    Tiles::multiply<0, 4, 6>(), Tiles::multiply<1, 4, 7>(), Tiles::multiply<2, 5, 6>(), Tiles::multiply<3, 5, 7>();
    if constexpr (products == Products::of_one_part) continue;
    Tiles::load<4>(upper + tile_bytes), Tiles::load<5>(lower + tile_bytes);
    Tiles::multiply<0, 4, 6>(), Tiles::multiply<1, 4, 7>(), Tiles::multiply<2, 5, 6>(), Tiles::multiply<3, 5, 7>();
    if constexpr (products == Products::large) continue;
    Tiles::load<6>(x + 2 * tile_bytes), Tiles::load<7>(x + 3 * tile_bytes);
    Tiles::multiply<0, 4, 6>(), Tiles::multiply<1, 4, 7>(), Tiles::multiply<2, 5, 6>(), Tiles::multiply<3, 5, 7>();
  }
  Tiles::store<0>(sums), Tiles::store<1>(sums + tile_bytes);
  Tiles::store<2>(sums + 2 * tile_bytes), Tiles::store<3>(sums + 3 * tile_bytes);
}

/// y[t, first + r] = sums of n_rows rows and n_tokens tokens, as multiply_block() left them: [block of tokens][32 rows]
RWKV_INLINE void store_sums(const std::byte* sums, Index n_rows, Index n_tokens, float* y, Index n_out) noexcept {
  alignas(64) float rows[tile_rows][tile_rows];
  for (Index token = 0; token < n_tokens; token += tile_rows) {
    for (Index row = 0; row < n_rows; row += tile_rows) {
      const Index block = (token / block_tokens * (panel_rows / 32) + row / 32) * 4 + row / 16 % 2 * 2 + token / 16 % 2;
      transpose(sums + block * tile_bytes, rows, tile_rows);
      const Index n_here = n_rows - row < tile_rows ? n_rows - row : tile_rows;
      for (Index t = 0; t < tile_rows && token + t < n_tokens; ++t) {
        std::memcpy(y + (token + t) * n_out + row, rows[t], static_cast<std::size_t>(n_here) * sizeof(float));
      }
    }
  }
}

/// Sums of a panel of rows and tokens, a panel of weights, widened numbers.
inline constexpr Index sums_bytes = panel_rows * panel_tokens * 4;
inline constexpr Index tiles_bytes = panel_rows * panel_inputs * 4;
inline constexpr Index widened_bytes = panel_rows * step * 4;
static_assert(widened_bytes >= panel_inputs * 4);

/// Rows [begin, end) times n_tokens <= panel_tokens tokens; y is that of the first one.
template <Products products, class Weight>
RWKV_INLINE void multiply_tokens(const Weight& weight, Index n_out, const std::byte* packed, Index n_tokens, float* y,
                                 Index begin, Index end, std::byte* scratch) noexcept {
  constexpr int n_parts = n_parts_of(products);
  std::byte* const sums = scratch;
  auto* const widened = reinterpret_cast<float*>(scratch + sums_bytes + tiles_bytes);
  const Index packed_block = steps_of(weight.n_in) * 4 * tile_bytes;
  for (Index first = begin; first < end; first += panel_rows) {
    const Index n_rows = end - first < panel_rows ? end - first : panel_rows;
    Ahead ahead = panel_ahead(weight, first + n_rows, end);
    for (Index input = 0; input < weight.n_in; input += panel_inputs) {
      const Index n = weight.n_in - input < panel_inputs ? weight.n_in - input : panel_inputs;
      const Panel<n_parts> panel{scratch + sums_bytes, steps_of(n)};
      fill_panel<n_parts>(weight, first, n_rows, input, n, panel, widened);
      for (Index token = 0; token < n_tokens; token += block_tokens) {
        const std::byte* const x = packed + token / block_tokens * packed_block + input / step * 4 * tile_bytes;
        for (Index row = 0; row < n_rows; row += 32) {
          std::byte* const to = sums + (token / block_tokens * (panel_rows / 32) + row / 32) * 4 * tile_bytes;
          multiply_block<products>(panel, row, x, to, input == 0, ahead);
        }
      }
    }
    store_sums(sums, n_rows, n_tokens, y + first, n_out);
  }
}

template <Products products, class Weight>
RWKV_ATTR RWKV_NOINLINE void multiply_parts(const Weight& weight, Index n_out, const std::byte* packed, Index n_tokens,
                                            float* y, Index begin, Index end, std::byte* scratch) noexcept {
  Tiles::begin();
  for (Index token = 0; token < n_tokens; token += panel_tokens) {
    const Index n = n_tokens - token < panel_tokens ? n_tokens - token : panel_tokens;
    const std::byte* const x = packed + token / block_tokens * steps_of(weight.n_in) * 4 * tile_bytes;
    multiply_tokens<products>(weight, n_out, x, n, y + token * n_out, begin, end, scratch);
  }
  Tiles::end();
}

template <auto expand_function, Index block, Index size, Products products>
RWKV_ATTR void multiply_stored(const std::byte* weight, Index n_in, Index n_out, const std::byte* packed,
                               Index n_tokens, float* y, Index begin, Index end, std::byte* scratch) noexcept {
  const avx512::StoredRows rows{expand_function, block, size, weight, n_in};
  multiply_parts<products>(rows, n_out, packed, n_tokens, y, begin, end, scratch);
}

/// For all types but f32 and f64, whose users want their precision.
template <class... Packed>
void use_tiles(KernelTable<float>& table, unpacking::PackedTypes<Packed...>) noexcept {
  using namespace avx512;
  PackedProducts<float, float>& products = table.split_gemm;
  products.rows = 32;
  products.tokens = block_tokens;
  products.packed_bytes = [](Index n_in) noexcept { return steps_of(n_in) * 4 * tile_bytes; };
  products.scratch_bytes = [](Index) noexcept { return sums_bytes + tiles_bytes + widened_bytes; };
  products.pack = pack_parts;
  products.multiply_by_input = multiply_parts<Products::all, WeightByInput<float>>;
  const auto set = [&](DType dtype, auto multiply) { products.multiply[static_cast<std::size_t>(dtype)] = multiply; };
  set(DType::f16, multiply_stored<expand<StoredF16>, 1, StoredF16::size, Products::all>);
  set(DType::bf16, multiply_stored<expand<StoredBF16>, 1, StoredBF16::size, Products::of_one_part>);
  (set(Packed::dtype, multiply_stored<expand_packed<Packed>, Packed::block, Packed::size, Products::large>), ...);
  table.rounded.most_rows = 32;  // a tile has too little to do below that
}

}  // namespace kernels::RWKV_ISA
RWKV_NAMESPACE_END
