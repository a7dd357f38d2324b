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

/// y[o] for the n_rows rows o = first, first + stride, ... of single numbers.
template <class Stored, int n_rows>
RWKV_INLINE void dot_rows(const std::byte* weight, Index n_in, const Scalar* x, Scalar* y, Index first,
                          Index stride) noexcept {
  constexpr int n_sums = 2;  // for each row, so that additions overlap
  const std::byte* rows[n_rows];
  Lanes sums[n_rows][n_sums];
  RWKV_UNROLL
  for (int r = 0; r < n_rows; ++r) {
    rows[r] = weight + (first + r * stride) * n_in * Stored::size;
    RWKV_UNROLL
    for (int s = 0; s < n_sums; ++s) sums[r][s] = Lanes::set(0);
  }
  Index i = 0;
  for (; i + n_sums * Lanes::count <= n_in; i += n_sums * Lanes::count) {
    RWKV_UNROLL
    for (int s = 0; s < n_sums; ++s) {
      const Lanes activations = Lanes::load(x + i + s * Lanes::count);
      RWKV_UNROLL
      for (int r = 0; r < n_rows; ++r) {
        const std::byte* const from = rows[r] + (i + s * Lanes::count) * Stored::size;
        __builtin_prefetch(from + prefetch_distance);
        sums[r][s] = Lanes::fma(Stored::load(from), activations, sums[r][s]);
      }
    }
  }
  Lanes both[4];  // of one row: four times the same, as both ways to add lanes up would round differently
  RWKV_UNROLL
  for (int r = 0; r < 4; ++r) both[r] = sums[r % n_rows][0] + sums[r % n_rows][1];
  Scalar totals[4];
  Lanes::store_totals(both, totals);
  for (int r = 0; r < n_rows; ++r) {
    if (i < n_in) totals[r] += dot_rest<Stored>(rows[r] + i * Stored::size, x + i, n_in - i);
    y[first + r * stride] = totals[r];
  }
}

/// Of single numbers.
template <class Stored>
RWKV_ATTR inline void gemv(const std::byte* weight, Index n_in, const Scalar* x, Scalar* y, Index begin,
                           Index end) noexcept {
  const Index quarter = (end - begin) / 4;
  for (Index o = begin; o < begin + quarter; ++o) dot_rows<Stored, 4>(weight, n_in, x, y, o, quarter);
  for (Index o = begin + 4 * quarter; o < end; ++o) dot_rows<Stored, 1>(weight, n_in, x, y, o, 1);
}

inline constexpr int tokens_at_once = 4;

/// totals[r][t] = the product of a row of weights with that of a token. Weights are loaded once for all of them.
template <class Stored>
RWKV_INLINE void dot_tile(const std::byte* const (&rows)[Lanes::few_rows], const Scalar* const (&x)[tokens_at_once],
                          Index n_in, Scalar (&totals)[Lanes::few_rows][tokens_at_once]) noexcept {
  Lanes sums[Lanes::few_rows][tokens_at_once];
  RWKV_UNROLL
  for (auto& row : sums) {
    RWKV_UNROLL
    for (Lanes& sum : row) sum = Lanes::set(0);
  }
  Index i = 0;
  for (; i + Lanes::count <= n_in; i += Lanes::count) {
    RWKV_UNROLL
    for (int r = 0; r < Lanes::few_rows; ++r) {
      const Lanes weights = Stored::load(rows[r] + i * Stored::size);
      RWKV_UNROLL
      for (int t = 0; t < tokens_at_once; ++t) sums[r][t] = Lanes::fma(weights, Lanes::load(x[t] + i), sums[r][t]);
    }
  }
  RWKV_UNROLL
  for (int r = 0; r < Lanes::few_rows; ++r) {
    Lanes::store_totals(sums[r], totals[r]);
    if (i == n_in) continue;
    for (int t = 0; t < tokens_at_once; ++t) {
      totals[r][t] += dot_rest<Stored>(rows[r] + i * Stored::size, x[t] + i, n_in - i);
    }
  }
}

/// Of single numbers, for a few tokens. Rows that are read again for the next tokens are in the cache then.
template <class Stored>
RWKV_ATTR void gemv_few(const std::byte* weight, Index n_in, const Scalar* x, Index n_tokens, Scalar* y, Index n_out,
                        Index begin, Index end) noexcept {
  constexpr Index n_rows = Lanes::few_rows;
  const Index share = (end - begin + n_rows - 1) / n_rows;  // streams, as in gemv
  for (Index row = begin; row < begin + share; ++row) {
    const std::byte* rows[n_rows];
    for (Index r = 0; r < n_rows; ++r) {  // beyond the last one: the first again, for nobody
      rows[r] = weight + (row + r * share < end ? row + r * share : row) * n_in * Stored::size;
    }
    for (Index token = 0; token < n_tokens; token += tokens_at_once) {
      const Scalar* tokens[tokens_at_once];
      for (Index t = 0; t < tokens_at_once; ++t) tokens[t] = x + (token + t < n_tokens ? token + t : token) * n_in;
      Scalar totals[n_rows][tokens_at_once];
      dot_tile<Stored>(rows, tokens, n_in, totals);
      for (Index t = 0; t < tokens_at_once && token + t < n_tokens; ++t) {
        for (Index r = 0; r < n_rows && row + r * share < end; ++r) {
          y[(token + t) * n_out + row + r * share] = totals[r][t];
        }
      }
    }
  }
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

/// As dot_rows, for types that take some work: a piece of each row is widened into the first-level cache.
template <int n_rows>
RWKV_INLINE void dot_widened_rows(const StoredRows& rows, const Scalar* x, Scalar* y, Index first,
                                  Index stride) noexcept {
  constexpr Index piece = 512;
  Scalar widened[n_rows][piece];
  Lanes sums[n_rows];
  RWKV_UNROLL
  for (int r = 0; r < n_rows; ++r) sums[r] = Lanes::set(0);
  for (Index i = 0; i < rows.n_in; i += piece) {
    const Index n = rows.n_in - i < piece ? rows.n_in - i : piece;
    for (int r = 0; r < n_rows; ++r) {
      const std::byte* const from = rows.at(first + r * stride, i);
      for (const std::byte* ahead = from; ahead < rows.at(first + r * stride, i + n); ahead += 64) {
        __builtin_prefetch(ahead + prefetch_distance);
      }
      rows.expand(from, n, widened[r]);
    }
    for (Index k = 0; k < n; k += Lanes::count) {
      const Lanes activations = load(x + i + k, n - k);
      RWKV_UNROLL
      for (int r = 0; r < n_rows; ++r) sums[r] = Lanes::fma(load(widened[r] + k, n - k), activations, sums[r]);
    }
  }
  RWKV_UNROLL
  for (int r = 0; r < n_rows; ++r) y[first + r * stride] = sums[r].total();
}

RWKV_ATTR RWKV_NOINLINE inline void gemv_widened(const StoredRows& rows, const Scalar* x, Scalar* y, Index begin,
                                                 Index end) noexcept {
  const Index quarter = (end - begin) / 4;
  for (Index o = begin; o < begin + quarter; ++o) dot_widened_rows<4>(rows, x, y, o, quarter);
  for (Index o = begin + 4 * quarter; o < end; ++o) dot_widened_rows<1>(rows, x, y, o, 1);
}

template <auto expand_function, Index block, Index size>
RWKV_ATTR void gemv_of_widened(const std::byte* weight, Index n_in, const Scalar* x, Scalar* y, Index begin,
                               Index end) noexcept {
  gemv_widened({expand_function, block, size, weight, n_in}, x, y, begin, end);
}

inline constexpr Index gemm_tokens = 2 * Lanes::count;

RWKV_ATTR inline void pack(const Scalar* x, Index n_tokens, Index n_in, Scalar* packed, Index begin,
                           Index end) noexcept {
  for (Index block = begin; block < end; ++block) {
    Scalar* const to = packed + block * gemm_tokens * n_in;
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
RWKV_ATTR void gemm(const std::byte* weight, Index n_in, Index n_out, const Scalar* packed, Index n_tokens, Scalar* y,
                    Index begin, Index end, Scalar* scratch) noexcept {
  gemm_rows({expand_function, block, size, weight, n_in}, n_out, packed, n_tokens, y, begin, end, scratch);
}

}  // namespace kernels::RWKV_ISA
RWKV_NAMESPACE_END
