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
      wkv5_part(part_of(call, head, first, smaller(call.n_tokens - first, wkv_tokens)));
    }
  }
}

/// The matrices of a chunk of n tokens of one head, N channels. Inputs are copied: rows of a head may be a power of two
/// apart, too many of them for one set of the cache.
struct Wkv5Chunk {
  Scalar* queries;  ///< [n, N], r_t w_1 ... w_{t-1}
  Scalar* keys;     ///< [n, N], k_i; later k_i w_{i+1} ... w_n
  Scalar* values;   ///< [n, N], v_i
  Scalar* decays;   ///< [n, N], w_i; later the outputs
  Scalar* scores;   ///< [n, n], how much of v_i token t sees
  Scalar* decay;    ///< [N], w_1 ... w_n

  RWKV_INLINE static Wkv5Chunk in(Scalar* scratch, Index n_tokens, Index n) noexcept {
    Wkv5Chunk chunk;
    chunk.queries = scratch;
    chunk.keys = chunk.queries + n_tokens * n;
    chunk.values = chunk.keys + n_tokens * n;
    chunk.decays = chunk.values + n_tokens * n;
    chunk.scores = chunk.decays + n_tokens * n;
    chunk.decay = chunk.scores + n_tokens * n_tokens;
    return chunk;
  }
};

/// Adds the share of the channels from c on to scores[i] = sum over c of r_t[c] w_{i+1}[c] ... w_{t-1}[c] k_i[c] for
/// i < t, and stores the query. The decays are multiplied one by one while i runs down: nothing is divided or put into
/// an exponent, so that decays may be 0.
template <int n_vectors>
RWKV_INLINE void wkv5_scores(const Wkv5Chunk& chunk, const Scalar* r, Index t, Index c, Index n,
                             Scalar* scores) noexcept {
  const Index left = n - c;
  Lanes query[n_vectors];
  RWKV_UNROLL
  for (int j = 0; j < n_vectors; ++j) query[j] = load_column<n_vectors>(r + c, j, left);
  for (Index i = t - 1; i >= 0; --i) {
    Lanes sum = Lanes::set(0);
    RWKV_UNROLL
    for (int j = 0; j < n_vectors; ++j) {
      sum = Lanes::fma(query[j], load_column<n_vectors>(chunk.keys + i * n + c, j, left), sum);
      query[j] = query[j] * load_column<n_vectors>(chunk.decays + i * n + c, j, left);
    }
    scores[i] += sum.total();
  }
  RWKV_UNROLL
  for (int j = 0; j < n_vectors; ++j) store_column<n_vectors>(query[j], chunk.queries + t * n + c, j, left);
}

/// queries and scores from keys and decays.
RWKV_ATTR inline void wkv5_queries(const Wkv5Call<Scalar>& part, const Wkv5Chunk& chunk) noexcept {
  constexpr int n_vectors = 4;
  constexpr Index width = n_vectors * Lanes::count;
  const Index n_tokens = part.n_tokens, n = part.head_size;
  for (Index t = 0; t < n_tokens; ++t) {
    const Scalar* const r = part.r + t * part.n_head * n;
    Scalar* const scores = chunk.scores + t * n_tokens;
    for (Index i = 0; i < n_tokens; ++i) scores[i] = 0;
    Index c = 0;
    for (; c + width <= n; c += width) wkv5_scores<n_vectors>(chunk, r, t, c, n, scores);
    for (; c < n; c += Lanes::count) wkv5_scores<1>(chunk, r, t, c, n, scores);
    scores[t] = wkv5_bonus(r, part.u, chunk.keys + t * n, n);
  }
}

/// Decays the keys to the end of the chunk.
RWKV_ATTR inline void wkv5_keys_to_end(const Wkv5Chunk& chunk, Index n_tokens, Index n) noexcept {
  for (Index c = 0; c < n; c += Lanes::count) {
    const Index left = n - c;
    Lanes decay = Lanes::set(1);
    for (Index i = n_tokens - 1; i >= 0; --i) {
      Scalar* const key = chunk.keys + i * n + c;
      store(load(key, left) * decay, key, left);
      decay = decay * load(chunk.decays + i * n + c, left);
    }
    store(decay, chunk.decay + c, left);
  }
}

RWKV_ATTR inline void wkv5_chunk(const Wkv5Call<Scalar>& part, const Wkv5Chunk& chunk) noexcept {
  const Index n_tokens = part.n_tokens, n = part.head_size, stride = part.n_head * n;
  for (Index t = 0; t < n_tokens; ++t) {
    copy(part.k + t * stride, n, chunk.keys + t * n);
    copy(part.v + t * stride, n, chunk.values + t * n);
    copy(part.w + t * part.w_stride, n, chunk.decays + t * n);
  }
  wkv5_queries(part, chunk);
  wkv5_keys_to_end(chunk, n_tokens, n);
  Scalar* const y = chunk.decays;
  multiply({n_tokens, n, n, chunk.queries, n, 1, part.state, n, y, n, nullptr, 0});
  multiply_lower({n_tokens, 0, n, chunk.scores, n_tokens, 1, chunk.values, n, y, n, &keep_all, 0}, 1);
  multiply({n, n_tokens, n, chunk.keys, 1, n, chunk.values, n, part.state, n, chunk.decay, 1});
  for (Index t = 0; t < n_tokens; ++t) copy(y + t * n, n, part.y + t * stride);
}

RWKV_ATTR inline void wkv5_chunked(const Wkv5Call<Scalar>& call, Index chunk_length, Index begin, Index end,
                                   Scalar* scratch) noexcept {
  for (Index head = begin; head < end; ++head) {
    for (Index first = 0; first < call.n_tokens; first += chunk_length) {
      const Index n_tokens = smaller(call.n_tokens - first, chunk_length);
      wkv5_chunk(part_of(call, head, first, n_tokens), Wkv5Chunk::in(scratch, n_tokens, call.head_size));
    }
  }
}

}  // namespace kernels::RWKV_ISA
RWKV_NAMESPACE_END
