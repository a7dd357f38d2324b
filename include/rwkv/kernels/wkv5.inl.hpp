// SPDX-License-Identifier: MIT
// Part of the text included once for each instruction set: the operator of RWKV-5 and RWKV-6.
//
// Lanes run along the values. A tile of the state, a few keys of a few registers of values, stays in registers while
// all tokens pass; the outputs gather in memory what each tile adds to them.

RWKV_NAMESPACE_BEGIN
namespace kernels::RWKV_ISA {

/// Tokens that pass a tile before the next tile's turn: their rows stay in the fastest cache.
inline constexpr Index wkv_tokens = 16;

/// Tokens first .. first + n - 1 of one head, with the strides between tokens of the whole call.
RWKV_INLINE Wkv5Call<Scalar> part_of(Wkv5Call<Scalar> call, Index head, Index first, Index n) noexcept {
  const Index at = first * call.n_head * call.head_size + head * call.head_size;
  call.n_tokens = n;
  call.r += at;
  call.k += at;
  call.v += at;
  call.w += first * call.w_stride + head * call.head_size;
  call.u += head * call.head_size;
  call.y += at;
  call.state += head * call.head_size * call.head_size;
  return call;
}

/// sum over c of r[c] u[c] k[c]: how much of its own value a token sees.
RWKV_INLINE Scalar wkv5_bonus(const Scalar* r, const Scalar* u, const Scalar* k, Index n) noexcept {
  Lanes sum = Lanes::set(0);
  for (Index c = 0; c < n; c += Lanes::count) {
    sum = Lanes::fma(load(r + c, n - c) * load(u + c, n - c), load(k + c, n - c), sum);
  }
  return sum.total();
}

/// y_t += r_t S_{t-1}, S_t = diag(w_t) S_{t-1} + k_t^T v_t for n_keys rows of the state from `key` on, and its columns
/// from `value` on.
template <int n_keys, int n_vectors>
RWKV_INLINE void wkv5_tile(const Wkv5Call<Scalar>& part, Index key, Index value) noexcept {
  const Index n = part.head_size, stride = part.n_head * n, left = n - value;
  Lanes state[n_keys][n_vectors];
  Scalar* const corner = part.state + key * n + value;
  RWKV_UNROLL
  for (int i = 0; i < n_keys; ++i) {
    RWKV_UNROLL
    for (int j = 0; j < n_vectors; ++j) state[i][j] = load_column<n_vectors>(corner + i * n, j, left);
  }
  for (Index t = 0; t < part.n_tokens; ++t) {
    const Scalar* const r = part.r + t * stride + key;
    const Scalar* const k = part.k + t * stride + key;
    const Scalar* const w = part.w + t * part.w_stride + key;
    Scalar* const to = part.y + t * stride + value;
    Lanes v[n_vectors], y[n_vectors];
    RWKV_UNROLL
    for (int j = 0; j < n_vectors; ++j) {
      v[j] = load_column<n_vectors>(part.v + t * stride + value, j, left);
      y[j] = load_column<n_vectors>(to, j, left);
    }
    RWKV_UNROLL
    for (int i = 0; i < n_keys; ++i) {
      const Lanes ri = Lanes::set(r[i]), ki = Lanes::set(k[i]), wi = Lanes::set(w[i]);
      RWKV_UNROLL
      for (int j = 0; j < n_vectors; ++j) {
        y[j] = Lanes::fma(ri, state[i][j], y[j]);
        state[i][j] = Lanes::fma(wi, state[i][j], ki * v[j]);
      }
    }
    RWKV_UNROLL
    for (int j = 0; j < n_vectors; ++j) store_column<n_vectors>(y[j], to, j, left);
  }
  RWKV_UNROLL
  for (int i = 0; i < n_keys; ++i) {
    RWKV_UNROLL
    for (int j = 0; j < n_vectors; ++j) store_column<n_vectors>(state[i][j], corner + i * n, j, left);
  }
}

/// The rows of the state from `key` on, as one strip of tiles.
template <int n_keys>
RWKV_ATTR inline void wkv5_keys(const Wkv5Call<Scalar>& part, Index key) noexcept {
  constexpr Index width = Lanes::tile_vectors * Lanes::count;
  Index value = 0;
  for (; value + width <= part.head_size; value += width) wkv5_tile<n_keys, Lanes::tile_vectors>(part, key, value);
  for (; value < part.head_size; value += Lanes::count) wkv5_tile<n_keys, 1>(part, key, value);
}

RWKV_ATTR inline void wkv5_part(const Wkv5Call<Scalar>& part) noexcept {
  const Index n = part.head_size, stride = part.n_head * n;
  for (Index t = 0; t < part.n_tokens; ++t) {
    const Lanes bonus = Lanes::set(wkv5_bonus(part.r + t * stride, part.u, part.k + t * stride, n));
    for (Index c = 0; c < n; c += Lanes::count) {
      const Index at = t * stride + c;
      store(bonus * load(part.v + at, n - c), part.y + at, n - c);
    }
  }
  Index key = 0;
  for (; key + tile_rows <= n; key += tile_rows) wkv5_keys<tile_rows>(part, key);
  for (; key < n; ++key) wkv5_keys<1>(part, key);
}

RWKV_ATTR inline void wkv5(const Wkv5Call<Scalar>& call, Index begin, Index end) noexcept {
  for (Index head = begin; head < end; ++head) {
    for (Index first = 0; first < call.n_tokens; first += wkv_tokens) {
      const Index left = call.n_tokens - first;
      wkv5_part(part_of(call, head, first, left < wkv_tokens ? left : wkv_tokens));
    }
  }
}

}  // namespace kernels::RWKV_ISA
RWKV_NAMESPACE_END
