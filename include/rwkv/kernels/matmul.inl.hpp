// SPDX-License-Identifier: MIT
// Part of the text included once for each instruction set: products with weights that stay in their storage type.
//
// One token (gemv): lanes run along a row of weights; four rows a quarter of the share apart are read at once, because
// one thread reaches the memory's bandwidth only with several streams. Many tokens (gemm): lanes run along tokens,
// whose activations are packed; a few rows at a time are widened into cache and broadcast. Every output is one sum in
// one order, whatever the number of threads.

RWKV_NAMESPACE_BEGIN
namespace kernels::RWKV_ISA {

inline constexpr Index prefetch_distance = 1024;

/// The next single numbers of a row of which `left` remain; lanes beyond its end are zero.
template <class Stored>
RWKV_INLINE Lanes load_stored(const std::byte* from, Index left) noexcept {
  if (left >= Lanes::count) return Stored::load(from);
  std::byte padded[static_cast<std::size_t>(Lanes::count * Stored::size)] = {};
  std::memcpy(padded, from, static_cast<std::size_t>(left * Stored::size));
  return Stored::load(padded);
}

template <class Stored>
RWKV_ATTR inline void expand(const std::byte* stored, Index n, Scalar* y) noexcept {
  for (Index i = 0; i < n; i += Lanes::count) {
    store(load_stored<Stored>(stored + i * Stored::size, n - i), y + i, n - i);
  }
}

template <bool has_signed_codes, int n_scales>
RWKV_ATTR RWKV_NOINLINE void widen_groups(const Groups& groups, Index n, Scalar* y) noexcept {
  for (Index g = 0; g < n; ++g) {
    const std::byte* const codes = groups.codes + g * groups.stride;
    for (Index i = 0; i < group_size; i += Lanes::count, y += Lanes::count) {
      const Index number = g * n_scales + i * n_scales / group_size;
      const Lanes scale = Lanes::set(static_cast<Scalar>(groups.scales[number]));
      if constexpr (has_signed_codes) {
        (Lanes::load_i8(codes + i) * scale).store(y);
      } else {
        const Lanes offset = Lanes::set(static_cast<Scalar>(groups.offsets[number]));
        Lanes::fma(Lanes::load_u8(codes + i), scale, offset).store(y);
      }
    }
  }
}

template <class Packed>
RWKV_ATTR void expand_packed(const std::byte* stored, Index n, Scalar* y) noexcept {
  Groups groups;
  for (Index i = 0; i < n; i += group_size * Groups::most) {
    const Index n_groups = (n - i) / group_size < Groups::most ? (n - i) / group_size : Groups::most;
    Packed::unpack(stored + i / Packed::block * Packed::size, n_groups, groups);
    widen_groups<Packed::layout == CodeLayout::signed_bytes, Packed::n_scales>(groups, n_groups, y + i);
  }
}

/// The product of the last n numbers of a row, fewer than the loops of dot_rows take at once, with activations. Not
/// inlined: it would be the larger part of them.
template <class Stored>
RWKV_ATTR RWKV_NOINLINE Scalar dot_rest(const std::byte* stored, const Scalar* x, Index n) noexcept {
  Lanes sum = Lanes::set(0);
  for (Index i = 0; i < n; i += Lanes::count) {
    sum = Lanes::fma(load_stored<Stored>(stored + i * Stored::size, n - i), load(x + i, n - i), sum);
  }
  return sum.total();
}

/// Rows first, first + stride, ... as long as they lie before `end`; then the first one again, for nobody.
RWKV_INLINE Index row_of_tile(Index first, Index stride, Index r, Index end) noexcept {
  return first + r * stride < end ? first + r * stride : first;
}

/// The products of n_rows rows of single numbers with n_tokens rows of activations: weights are loaded once for all.
template <class Stored, int n_rows, int n_tokens>
RWKV_INLINE void dot_tile(const std::byte* const (&rows)[n_rows], const Scalar* const (&x)[n_tokens], Index n_in,
                          Scalar (&totals)[n_rows * n_tokens]) noexcept {
  constexpr int n_sums = n_tokens == 1 ? 2 : 1;  // for each product, so that enough additions overlap
  Lanes sums[n_rows * n_tokens][n_sums];
  RWKV_UNROLL
  for (auto& product : sums) {
    RWKV_UNROLL
    for (Lanes& sum : product) sum = Lanes::set(0);
  }
  Index i = 0;
  for (; i + n_sums * Lanes::count <= n_in; i += n_sums * Lanes::count) {
    RWKV_UNROLL
    for (int s = 0; s < n_sums; ++s) {
      const Index at = i + s * Lanes::count;
      RWKV_UNROLL
      for (int r = 0; r < n_rows; ++r) {
        __builtin_prefetch(rows[r] + at * Stored::size + prefetch_distance);
        const Lanes weights = Stored::load(rows[r] + at * Stored::size);
        RWKV_UNROLL
        for (int t = 0; t < n_tokens; ++t) {
          Lanes& sum = sums[r * n_tokens + t][s];
          sum = Lanes::fma(weights, Lanes::load(x[t] + at), sum);
        }
      }
    }
  }
  RWKV_UNROLL
  for (int k = 0; k < n_rows * n_tokens; k += 4) {
    Lanes four[4];
    RWKV_UNROLL
    for (int j = 0; j < 4; ++j) four[j] = n_sums == 1 ? sums[k + j][0] : sums[k + j][0] + sums[k + j][n_sums - 1];
    Lanes::store_totals(four, totals + k);
  }
  if (i == n_in) return;
  for (int k = 0; k < n_rows * n_tokens; ++k) {
    totals[k] += dot_rest<Stored>(rows[k / n_tokens] + i * Stored::size, x[k % n_tokens] + i, n_in - i);
  }
}

/// Rows that are read again for the next tokens are in the cache then.
template <class Stored, int n_rows, int n_tokens_at_once>
RWKV_INLINE void gemv_by_tiles(const std::byte* weight, Index n_in, const Scalar* x, Index n_tokens, Scalar* y,
                               Index n_out, Index begin, Index end) noexcept {
  const Index share = (end - begin + n_rows - 1) / n_rows;  // rows far apart: streams
  for (Index first = begin; first < begin + share; ++first) {
    const std::byte* rows[n_rows];
    for (int r = 0; r < n_rows; ++r) rows[r] = weight + row_of_tile(first, share, r, end) * n_in * Stored::size;
    for (Index token = 0; token < n_tokens; token += n_tokens_at_once) {
      const Scalar* tokens[n_tokens_at_once];
      for (Index t = 0; t < n_tokens_at_once; ++t) tokens[t] = x + (token + t < n_tokens ? token + t : token) * n_in;
      Scalar totals[n_rows * n_tokens_at_once];
      dot_tile<Stored, n_rows, n_tokens_at_once>(rows, tokens, n_in, totals);
      for (Index t = 0; t < n_tokens_at_once && token + t < n_tokens; ++t) {
        for (Index r = 0; r < n_rows && first + r * share < end; ++r) {
          y[(token + t) * n_out + first + r * share] = totals[r * n_tokens_at_once + t];
        }
      }
    }
  }
}

/// Of single numbers.
template <class Stored>
RWKV_ATTR inline void gemv(const std::byte* weight, Index n_in, const Scalar* x, Index n_tokens, Scalar* y, Index n_out,
                           Index begin, Index end) noexcept {
  if (n_tokens == 1) return gemv_by_tiles<Stored, 4, 1>(weight, n_in, x, n_tokens, y, n_out, begin, end);
  gemv_by_tiles<Stored, Lanes::few_rows, 4>(weight, n_in, x, n_tokens, y, n_out, begin, end);
}

/// Rows of weights in any type: `expand` widens `block` numbers from `size` bytes.
struct StoredRows {
  KernelTable<Scalar>::Expand expand;
  Index block, size;
  const std::byte* weight;
  Index n_in;

  RWKV_INLINE const std::byte* at(Index row, Index i) const noexcept {
    return weight + (row * n_in + i) / block * size;
  }
};

/// Of types that take some work: a piece of each row is widened into the first-level cache.
RWKV_ATTR RWKV_NOINLINE inline void gemv_widened(const StoredRows& rows, const Scalar* x, Index n_tokens, Scalar* y,
                                                 Index n_out, Index begin, Index end) noexcept {
  constexpr Index piece = 512;
  constexpr int n_rows = 4;
  const Index share = (end - begin + n_rows - 1) / n_rows;
  Scalar widened[n_rows][piece];
  for (Index first = begin; first < begin + share; ++first) {
    Lanes sums[max_few_rows][n_rows];
    for (Index t = 0; t < n_tokens; ++t) {
      for (Lanes& sum : sums[t]) sum = Lanes::set(0);
    }
    for (Index i = 0; i < rows.n_in; i += piece) {
      const Index n = rows.n_in - i < piece ? rows.n_in - i : piece;
      for (int r = 0; r < n_rows; ++r) rows.expand(rows.at(row_of_tile(first, share, r, end), i), n, widened[r]);
      for (Index t = 0; t < n_tokens; ++t) {
        for (Index k = 0; k < n; k += Lanes::count) {
          const Lanes activations = load(x + t * rows.n_in + i + k, n - k);
          RWKV_UNROLL
          for (int r = 0; r < n_rows; ++r) {
            sums[t][r] = Lanes::fma(load(widened[r] + k, n - k), activations, sums[t][r]);
          }
        }
      }
    }
    for (Index t = 0; t < n_tokens; ++t) {
      Scalar totals[n_rows];
      Lanes::store_totals(sums[t], totals);
      for (Index r = 0; r < n_rows && first + r * share < end; ++r) y[t * n_out + first + r * share] = totals[r];
    }
  }
}

template <auto expand_function, Index block, Index size>
RWKV_ATTR void gemv_of_widened(const std::byte* weight, Index n_in, const Scalar* x, Index n_tokens, Scalar* y,
                               Index n_out, Index begin, Index end) noexcept {
  gemv_widened({expand_function, block, size, weight, n_in}, x, n_tokens, y, n_out, begin, end);
}

inline constexpr Index gemm_tokens = 2 * Lanes::count;

RWKV_ATTR inline void pack(const Scalar* x, Index n_tokens, Index n_in, std::byte* packed, Index begin,
                           Index end) noexcept {
  for (Index block = begin; block < end; ++block) {
    Scalar* const to = reinterpret_cast<Scalar*>(packed) + block * gemm_tokens * n_in;
    for (Index t = 0; t < gemm_tokens; ++t) {
      const Index token = block * gemm_tokens + t;
      for (Index k = 0; k < n_in; ++k) to[k * gemm_tokens + t] = token < n_tokens ? x[token * n_in + k] : Scalar(0);
    }
  }
}

/// results[r][t] = sum over k of rows[r, k] x[k, t], for gemm_rows rows and one packed block of tokens.
RWKV_ATTR inline void gemm_tile(const Scalar* rows, Index n_in, const Scalar* x,
                                Scalar (&results)[Lanes::gemm_rows][gemm_tokens]) noexcept {
  Lanes sums[Lanes::gemm_rows][2];
  RWKV_UNROLL
  for (Index r = 0; r < Lanes::gemm_rows; ++r) sums[r][0] = sums[r][1] = Lanes::set(0);
  for (Index k = 0; k < n_in; ++k) {
    const Lanes x0 = Lanes::load(x + k * gemm_tokens);
    const Lanes x1 = Lanes::load(x + k * gemm_tokens + Lanes::count);
    RWKV_UNROLL
    for (Index r = 0; r < Lanes::gemm_rows; ++r) {
      const Lanes weight = Lanes::set(rows[r * n_in + k]);
      sums[r][0] = Lanes::fma(weight, x0, sums[r][0]);
      sums[r][1] = Lanes::fma(weight, x1, sums[r][1]);
    }
  }
  RWKV_UNROLL
  for (Index r = 0; r < Lanes::gemm_rows; ++r) {
    sums[r][0].store(results[r]);
    sums[r][1].store(results[r] + Lanes::count);
  }
}

/// The product itself, whatever the type of the weights.
RWKV_ATTR RWKV_NOINLINE inline void gemm_rows(const StoredRows& rows, Index n_out, const Scalar* packed, Index n_tokens,
                                              Scalar* y, Index begin, Index end, Scalar* scratch) noexcept {
  const Index n_in = rows.n_in;
  Scalar results[Lanes::gemm_rows][gemm_tokens];
  for (Index first = begin; first < end; first += Lanes::gemm_rows) {
    // Fewer rows in the last tile: the others keep what they had, and nobody looks at their results.
    const Index n_rows = end - first < Lanes::gemm_rows ? end - first : Lanes::gemm_rows;
    rows.expand(rows.at(first, 0), n_rows * n_in, scratch);
    for (Index token = 0; token < n_tokens; token += gemm_tokens) {
      gemm_tile(scratch, n_in, packed + token * n_in, results);
      const Index n_here = n_tokens - token < gemm_tokens ? n_tokens - token : gemm_tokens;
      for (Index t = 0; t < n_here; ++t) {
        for (Index r = 0; r < n_rows; ++r) y[(token + t) * n_out + first + r] = results[r][t];
      }
    }
  }
}

template <auto expand_function, Index block, Index size>
RWKV_ATTR void gemm(const std::byte* weight, Index n_in, Index n_out, const std::byte* packed, Index n_tokens,
                    Scalar* y, Index begin, Index end, std::byte* scratch) noexcept {
  gemm_rows({expand_function, block, size, weight, n_in}, n_out, reinterpret_cast<const Scalar*>(packed), n_tokens, y,
            begin, end, reinterpret_cast<Scalar*>(scratch));
}

/// What all types of weights share.
[[nodiscard]] inline PackedProducts<Scalar, Scalar> packed_products() noexcept {
  PackedProducts<Scalar, Scalar> products;
  products.rows = Lanes::gemm_rows;
  products.tokens = gemm_tokens;
  products.packed_bytes = [](Index n_in) noexcept { return gemm_tokens * n_in * Index{sizeof(Scalar)}; };
  products.scratch_bytes = [](Index n_in) noexcept { return Lanes::gemm_rows * n_in * Index{sizeof(Scalar)}; };
  products.pack = pack;
  return products;
}

}  // namespace kernels::RWKV_ISA
RWKV_NAMESPACE_END
