// SPDX-License-Identifier: MIT
// Part of the text included once for each instruction set: the operator of RWKV-7.
//
// Rows of the state, one for each value, do not know of each other. A few stay in registers, lanes along the keys,
// while the tokens pass.

RWKV_NAMESPACE_BEGIN
namespace kernels::RWKV_ISA {

/// Tokens first .. first + n - 1 of one head, with the stride between tokens of the whole call.
RWKV_INLINE Wkv7Call<Scalar> part_of(Wkv7Call<Scalar> call, Index head, Index first, Index n) noexcept {
  const Index at = first * call.n_head * call.head_size + head * call.head_size;
  call.n_tokens = n;
  call.r += at;
  call.w += at;
  call.k += at;
  call.v += at;
  call.kk += at;
  call.a += at;
  call.y += at;
  call.state += head * call.head_size * call.head_size;
  return call;
}

/// n_rows rows of the state, of n_vectors registers each, through all tokens:
/// S <- S diag(w_t) - (S kk_t^T) (kk_t a_t) + v_t^T k_t, then y_t = S r_t^T.
template <int n_rows, int n_vectors>
RWKV_INLINE void wkv7_rows(const Wkv7Call<Scalar>& part, Index row) noexcept {
  const Index n = part.head_size, stride = part.n_head * n;
  Lanes state[n_rows][n_vectors];
  RWKV_UNROLL
  for (int i = 0; i < n_rows; ++i) {
    RWKV_UNROLL
    for (int j = 0; j < n_vectors; ++j) state[i][j] = Lanes::load(part.state + (row + i) * n + j * Lanes::count);
  }
  for (Index t = 0; t < part.n_tokens; ++t) {
    const Index at = t * stride;
    Lanes removed[n_rows], added[n_rows], y[n_rows];
    RWKV_UNROLL
    for (int i = 0; i < n_rows; ++i) removed[i] = y[i] = Lanes::set(0);
    RWKV_UNROLL
    for (int j = 0; j < n_vectors; ++j) {
      const Lanes kk = Lanes::load(part.kk + at + j * Lanes::count);
      RWKV_UNROLL
      for (int i = 0; i < n_rows; ++i) removed[i] = Lanes::fma(state[i][j], kk, removed[i]);
    }
    RWKV_UNROLL
    for (int i = 0; i < n_rows; ++i) {
      removed[i] = Lanes::set(-removed[i].total());
      added[i] = Lanes::set(part.v[at + row + i]);
    }
    RWKV_UNROLL
    for (int j = 0; j < n_vectors; ++j) {
      const Index column = at + j * Lanes::count;
      const Lanes w = Lanes::load(part.w + column), k = Lanes::load(part.k + column), r = Lanes::load(part.r + column);
      const Lanes b = Lanes::load(part.kk + column) * Lanes::load(part.a + column);
      RWKV_UNROLL
      for (int i = 0; i < n_rows; ++i) {
        state[i][j] = Lanes::fma(removed[i], b, Lanes::fma(added[i], k, state[i][j] * w));
        y[i] = Lanes::fma(state[i][j], r, y[i]);
      }
    }
    RWKV_UNROLL
    for (int i = 0; i < n_rows; ++i) part.y[at + row + i] = y[i].total();
  }
  RWKV_UNROLL
  for (int i = 0; i < n_rows; ++i) {
    RWKV_UNROLL
    for (int j = 0; j < n_vectors; ++j) state[i][j].store(part.state + (row + i) * n + j * Lanes::count);
  }
}

/// The same for one row of any length, which stays in memory.
RWKV_ATTR inline void wkv7_row(const Wkv7Call<Scalar>& part, Index row) noexcept {
  const Index n = part.head_size, stride = part.n_head * n;
  Scalar* const state = part.state + row * n;
  for (Index t = 0; t < part.n_tokens; ++t) {
    const Index at = t * stride;
    Lanes removed = Lanes::set(0), y = Lanes::set(0);
    for (Index c = 0; c < n; c += Lanes::count) {
      removed = Lanes::fma(load(state + c, n - c), load(part.kk + at + c, n - c), removed);
    }
    removed = Lanes::set(-removed.total());
    const Lanes added = Lanes::set(part.v[at + row]);
    for (Index c = 0; c < n; c += Lanes::count) {
      const Index column = at + c, left = n - c;
      const Lanes b = load(part.kk + column, left) * load(part.a + column, left);
      const Lanes kept = load(state + c, left) * load(part.w + column, left);
      const Lanes next = Lanes::fma(removed, b, Lanes::fma(added, load(part.k + column, left), kept));
      y = Lanes::fma(next, load(part.r + column, left), y);
      store(next, state + c, left);
    }
    part.y[at + row] = y.total();
  }
}

RWKV_ATTR inline void wkv7_part(const Wkv7Call<Scalar>& part) noexcept {
  constexpr Index usual_head_size = 64;  // of all published models
  if constexpr (Lanes::count >= 8) {     // shorter registers are too few for rows
    if (part.head_size == usual_head_size) {
      for (Index row = 0; row < usual_head_size; row += tile_rows) {
        wkv7_rows<tile_rows, usual_head_size / Lanes::count>(part, row);
      }
      return;
    }
  }
  for (Index row = 0; row < part.head_size; ++row) wkv7_row(part, row);
}

RWKV_ATTR inline void wkv7(const Wkv7Call<Scalar>& call, Index begin, Index end) noexcept {
  for (Index head = begin; head < end; ++head) {
    for (Index first = 0; first < call.n_tokens; first += wkv_tokens) {
      const Index left = call.n_tokens - first;
      wkv7_part(part_of(call, head, first, left < wkv_tokens ? left : wkv_tokens));
    }
  }
}

}  // namespace kernels::RWKV_ISA
RWKV_NAMESPACE_END
