// SPDX-License-Identifier: MIT
// Part of the text included once for each instruction set: products of small matrices, tile by tile in registers.

RWKV_NAMESPACE_BEGIN
namespace kernels::RWKV_ISA {

inline constexpr int tile_rows = 4;  // with Lanes::tile_vectors registers each

/// Register number `vector` of a row of a tile. A tile of several is whole, one of a single register may be ragged:
/// `left` values remain.
template <int n_vectors>
RWKV_INLINE Lanes load_column(const Scalar* row, int vector, Index left) noexcept {
  if constexpr (n_vectors == 1) return load(row, left);
  return Lanes::load(row + vector * Lanes::count);
}
template <int n_vectors>
RWKV_INLINE void store_column(Lanes lanes, Scalar* row, int vector, Index left) noexcept {
  if constexpr (n_vectors == 1) return store(lanes, row, left);
  lanes.store(row + vector * Lanes::count);
}

/// c[i, j] = kept[i] c[i, j] + sum over k of a[i, k] b[k, j], where c shares no element with a or b.
/// Rows of b and c are contiguous; a is not bound to any order.
struct SmallProduct {
  Index n_rows, n_inner, n_cols;
  const Scalar* a;
  Index a_row, a_inner;  ///< from one i to the next, from one k to the next
  const Scalar* b;
  Index b_row;
  Scalar* c;
  Index c_row;
  const Scalar* kept;  ///< null: c is new
  Index kept_row;      ///< from one i to the next
};

inline constexpr Scalar keep_all = 1;  // for `kept`, with kept_row = 0

template <int n_rows, int n_vectors>
RWKV_INLINE void multiply_tile(const SmallProduct& product, Index row, Index column) noexcept {
  const Index left = product.n_cols - column;
  Scalar* const corner = product.c + row * product.c_row + column;
  Lanes sums[n_rows][n_vectors];
  RWKV_UNROLL
  for (int i = 0; i < n_rows; ++i) {
    RWKV_UNROLL
    for (int j = 0; j < n_vectors; ++j) {
      sums[i][j] = Lanes::set(0);
      if (product.kept == nullptr) continue;
      const Lanes kept = Lanes::set(product.kept[(row + i) * product.kept_row]);
      sums[i][j] = kept * load_column<n_vectors>(corner + i * product.c_row, j, left);
    }
  }
  const Scalar* a = product.a + row * product.a_row;
  const Scalar* b = product.b + column;
  for (Index k = 0; k < product.n_inner; ++k, a += product.a_inner, b += product.b_row) {
    Lanes factors[n_vectors];
    RWKV_UNROLL
    for (int j = 0; j < n_vectors; ++j) factors[j] = load_column<n_vectors>(b, j, left);
    RWKV_UNROLL
    for (int i = 0; i < n_rows; ++i) {
      const Lanes factor = Lanes::set(a[i * product.a_row]);
      RWKV_UNROLL
      for (int j = 0; j < n_vectors; ++j) sums[i][j] = Lanes::fma(factor, factors[j], sums[i][j]);
    }
  }
  RWKV_UNROLL
  for (int i = 0; i < n_rows; ++i) {
    RWKV_UNROLL
    for (int j = 0; j < n_vectors; ++j) store_column<n_vectors>(sums[i][j], corner + i * product.c_row, j, left);
  }
}

/// Rows [begin, end) of c.
RWKV_ATTR inline void multiply(const SmallProduct& product, Index begin, Index end) noexcept {
  constexpr Index width = Lanes::tile_vectors * Lanes::count;
  Index row = begin;
  for (; row + tile_rows <= end; row += tile_rows) {
    Index column = 0;
    for (; column + width <= product.n_cols; column += width) {
      multiply_tile<tile_rows, Lanes::tile_vectors>(product, row, column);
    }
    for (; column < product.n_cols; column += Lanes::count) multiply_tile<tile_rows, 1>(product, row, column);
  }
  for (; row < end; ++row) {
    for (Index column = 0; column < product.n_cols; column += Lanes::count) multiply_tile<1, 1>(product, row, column);
  }
}

RWKV_INLINE void multiply(const SmallProduct& product) noexcept { multiply(product, 0, product.n_rows); }

RWKV_INLINE void copy(const Scalar* from, Index n, Scalar* to) noexcept {
  for (Index i = 0; i < n; i += Lanes::count) store(load(from + i, n - i), to + i, n - i);
}

RWKV_INLINE Index smaller(Index a, Index b) noexcept { return a < b ? a : b; }

/// The same where a[i, k] is 0 for all k from row_inner (i + 1) on: a lower triangle, or steps of it.
/// What a holds beyond the tile of the diagonal is not looked at.
RWKV_ATTR inline void multiply_lower(SmallProduct product, Index row_inner) noexcept {
  for (Index row = 0; row < product.n_rows; row += tile_rows) {
    const Index end = smaller(row + tile_rows, product.n_rows);
    product.n_inner = end * row_inner;
    multiply(product, row, end);
  }
}

}  // namespace kernels::RWKV_ISA
RWKV_NAMESPACE_END
