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

/// Four rows of the state, of n_vectors registers each, through all tokens:
/// S <- S diag(w_t) - (S kk_t^T) (kk_t a_t) + v_t^T k_t, then y_t = S r_t^T.
template <int n_vectors>
RWKV_INLINE void wkv7_rows(const Wkv7Call<Scalar>& part, Index row) noexcept {
  constexpr int n_rows = 4;
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
    Scalar totals[n_rows];
    Lanes::store_totals(removed, totals);
    RWKV_UNROLL
    for (int i = 0; i < n_rows; ++i) {
      removed[i] = Lanes::set(-totals[i]);
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
    Lanes::store_totals(y, part.y + at + row);
  }
  RWKV_UNROLL
  for (int i = 0; i < n_rows; ++i) {
    RWKV_UNROLL
    for (int j = 0; j < n_vectors; ++j) state[i][j].store(part.state + (row + i) * n + j * Lanes::count);
  }
}

/// The same for n_rows rows, 4 or 1, of any length, which stay in memory.
template <int n_rows>
RWKV_ATTR inline void wkv7_rows_in_memory(const Wkv7Call<Scalar>& part, Index row) noexcept {
  const Index n = part.head_size, stride = part.n_head * n;
  Scalar* const state = part.state + row * n;
  for (Index t = 0; t < part.n_tokens; ++t) {
    const Index at = t * stride;
    Lanes sums[4];  // the totals of four at once cost no more than those of two
    Scalar removed[4], y[4];
    RWKV_UNROLL
    for (int i = 0; i < 4; ++i) sums[i] = Lanes::set(0);
    for (Index c = 0; c < n; c += Lanes::count) {
      const Lanes kk = load(part.kk + at + c, n - c);
      RWKV_UNROLL
      for (int i = 0; i < n_rows; ++i) sums[i] = Lanes::fma(load(state + i * n + c, n - c), kk, sums[i]);
    }
    Lanes::store_totals(sums, removed);
    RWKV_UNROLL
    for (int i = 0; i < 4; ++i) sums[i] = Lanes::set(0);
    for (Index c = 0; c < n; c += Lanes::count) {
      const Index column = at + c, left = n - c;
      const Lanes w = load(part.w + column, left), k = load(part.k + column, left), r = load(part.r + column, left);
      const Lanes b = load(part.kk + column, left) * load(part.a + column, left);
      RWKV_UNROLL
      for (int i = 0; i < n_rows; ++i) {
        const Lanes kept = load(state + i * n + c, left) * w;
        const Lanes added = Lanes::fma(Lanes::set(part.v[at + row + i]), k, kept);
        const Lanes next = Lanes::fma(Lanes::set(-removed[i]), b, added);
        sums[i] = Lanes::fma(next, r, sums[i]);
        store(next, state + i * n + c, left);
      }
    }
    Lanes::store_totals(sums, y);
    RWKV_UNROLL
    for (int i = 0; i < n_rows; ++i) part.y[at + row + i] = y[i];
  }
}

RWKV_ATTR inline void wkv7_part(const Wkv7Call<Scalar>& part) noexcept {
  constexpr Index usual_head_size = 64;  // of all published models
  if constexpr (Lanes::count >= 8) {     // shorter registers are too few for rows
    if (part.head_size == usual_head_size) {
      for (Index row = 0; row < usual_head_size; row += 4) {
        wkv7_rows<usual_head_size / Lanes::count>(part, row);
      }
      return;
    }
  }
  Index row = 0;
  for (; row + 4 <= part.head_size; row += 4) wkv7_rows_in_memory<4>(part, row);
  for (; row < part.head_size; ++row) wkv7_rows_in_memory<1>(part, row);
}

RWKV_ATTR inline void wkv7(const Wkv7Call<Scalar>& call, Index begin, Index end) noexcept {
  for (Index head = begin; head < end; ++head) {
    for (Index first = 0; first < call.n_tokens; first += wkv_tokens) {
      wkv7_part(part_of(call, head, first, smaller(call.n_tokens - first, wkv_tokens)));
    }
  }
}

/// The matrices of a chunk of n tokens of one head, N channels; the letters are those of arch/wkv7.hpp.
struct Wkv7Chunk {
  Scalar* state;           ///< [N, N], transposed: rows are keys; lives as long as the call
  Scalar* removal;         ///< [n, N], -kk_t D_{t-1}; later the outputs
  Scalar* queries;         ///< [n, N], r_t D_t
  Scalar* keys;            ///< [2n, N], rows kk_i a_i / D_i and k_i / D_i in turns
  Scalar* values;          ///< [2n, N], rows u_i and v_i in turns
  Scalar* removal_scores;  ///< [n, 2n], removal keys^T
  Scalar* query_scores;    ///< [n, 2n], queries keys^T
  Scalar* decay;           ///< [N], D_n

  RWKV_INLINE static Wkv7Chunk in(Scalar* scratch, Index n_tokens, Index n) noexcept {
    Wkv7Chunk chunk;
    chunk.state = scratch;
    chunk.removal = chunk.state + n * n;
    chunk.queries = chunk.removal + n_tokens * n;
    chunk.keys = chunk.queries + n_tokens * n;
    chunk.values = chunk.keys + 2 * n_tokens * n;
    chunk.removal_scores = chunk.values + 2 * n_tokens * n;
    chunk.query_scores = chunk.removal_scores + 2 * n_tokens * n_tokens;
    chunk.decay = chunk.query_scores + 2 * n_tokens * n_tokens;
    return chunk;
  }
};

/// removal, queries, keys, decay, and the rows v_i of values.
RWKV_ATTR inline void wkv7_decay(const Wkv7Call<Scalar>& part, const Wkv7Chunk& chunk) noexcept {
  const Index n_tokens = part.n_tokens, n = part.head_size, stride = part.n_head * n;
  for (Index c = 0; c < n; c += Lanes::count) {
    const Index left = n - c;
    Lanes decay = Lanes::set(1);
    for (Index t = 0; t < n_tokens; ++t) {
      const Index from = t * stride + c, to = t * n + c, pair = 2 * t * n + c;
      const Lanes kk = load(part.kk + from, left);
      store(Lanes::set(0) - kk * decay, chunk.removal + to, left);
      decay = decay * load(part.w + from, left);
      store(load(part.r + from, left) * decay, chunk.queries + to, left);
      const Lanes inverse = Lanes::set(1) / decay;
      store(kk * load(part.a + from, left) * inverse, chunk.keys + pair, left);
      store(load(part.k + from, left) * inverse, chunk.keys + pair + n, left);
      store(load(part.v + from, left), chunk.values + pair + n, left);
    }
    store(decay, chunk.decay + c, left);
  }
}

/// Adds the share of the channels from c on to both scores of token t with all keys i <= t.
template <int n_vectors>
RWKV_INLINE void wkv7_scores(const Wkv7Chunk& chunk, Index t, Index c, Index n, Scalar* removal_scores,
                             Scalar* query_scores) noexcept {
  const Index left = n - c;
  Lanes removal[n_vectors], query[n_vectors];
  RWKV_UNROLL
  for (int j = 0; j < n_vectors; ++j) {
    removal[j] = load_column<n_vectors>(chunk.removal + t * n + c, j, left);
    query[j] = load_column<n_vectors>(chunk.queries + t * n + c, j, left);
  }
  for (Index i = 0; i < 2 * (t + 1); i += 2) {
    const Scalar* const removed_key = chunk.keys + i * n + c;
    const Scalar* const key = removed_key + n;
    Lanes sums[4] = {Lanes::set(0), Lanes::set(0), Lanes::set(0), Lanes::set(0)};
    RWKV_UNROLL
    for (int j = 0; j < n_vectors; ++j) {
      const Lanes removed_keys = load_column<n_vectors>(removed_key, j, left);
      const Lanes keys = load_column<n_vectors>(key, j, left);
      sums[0] = Lanes::fma(removal[j], removed_keys, sums[0]);
      sums[1] = Lanes::fma(removal[j], keys, sums[1]);
      sums[2] = Lanes::fma(query[j], removed_keys, sums[2]);
      sums[3] = Lanes::fma(query[j], keys, sums[3]);
    }
    Scalar totals[4];
    Lanes::store_totals(sums, totals);
    removal_scores[i] += totals[0];
    removal_scores[i + 1] += totals[1];
    query_scores[i] += totals[2];
    query_scores[i + 1] += totals[3];
  }
}

/// Both scores; zero for keys i > t.
RWKV_ATTR inline void wkv7_scores(const Wkv7Chunk& chunk, Index n_tokens, Index n) noexcept {
  constexpr int n_vectors = 4;
  constexpr Index width = n_vectors * Lanes::count;
  for (Index t = 0; t < n_tokens; ++t) {
    Scalar* const removal_scores = chunk.removal_scores + t * 2 * n_tokens;
    Scalar* const query_scores = chunk.query_scores + t * 2 * n_tokens;
    for (Index i = 0; i < 2 * n_tokens; ++i) removal_scores[i] = query_scores[i] = 0;
    Index c = 0;
    for (; c + width <= n; c += width) wkv7_scores<n_vectors>(chunk, t, c, n, removal_scores, query_scores);
    for (; c < n; c += Lanes::count) wkv7_scores<1>(chunk, t, c, n, removal_scores, query_scores);
  }
}

/// The rows u_t of values: u_t <- u_t + sum over all rows i < 2t of removal_scores[t][i] values[i], in the order of t.
/// What lies before a tile of rows goes to the whole tile at once.
RWKV_ATTR inline void wkv7_solve(const Wkv7Chunk& chunk, Index n_tokens, Index n) noexcept {
  SmallProduct product{n_tokens, 0,         n, chunk.removal_scores, 2 * n_tokens, 1, chunk.values, n, chunk.values,
                       2 * n,    &keep_all, 0};
  for (Index first = 0; first < n_tokens; first += tile_rows) {
    const Index end = smaller(first + tile_rows, n_tokens);
    product.a = chunk.removal_scores;
    product.b = chunk.values;
    product.n_inner = 2 * first;
    multiply(product, first, end);
    product.a += 2 * first;
    product.b += 2 * first * n;
    for (Index t = first + 1; t < end; ++t) {
      product.n_inner = 2 * (t - first);
      multiply(product, t, t + 1);
    }
  }
}

/// Decays all keys to the end of the chunk.
RWKV_ATTR inline void wkv7_keys_to_end(const Wkv7Chunk& chunk, Index n_tokens, Index n) noexcept {
  for (Index c = 0; c < n; c += Lanes::count) {
    const Lanes decay = load(chunk.decay + c, n - c);
    for (Index i = 0; i < 2 * n_tokens; ++i) {
      Scalar* const key = chunk.keys + i * n + c;
      store(load(key, n - c) * decay, key, n - c);
    }
  }
}

RWKV_ATTR inline void wkv7_chunk(const Wkv7Call<Scalar>& part, const Wkv7Chunk& chunk) noexcept {
  const Index n_tokens = part.n_tokens, n = part.head_size;
  wkv7_decay(part, chunk);
  multiply({n_tokens, n, n, chunk.removal, n, 1, chunk.state, n, chunk.values, 2 * n, nullptr, 0});
  wkv7_scores(chunk, n_tokens, n);
  wkv7_solve(chunk, n_tokens, n);
  Scalar* const y = chunk.removal;
  multiply({n_tokens, n, n, chunk.queries, n, 1, chunk.state, n, y, n, nullptr, 0});
  multiply_lower({n_tokens, 0, n, chunk.query_scores, 2 * n_tokens, 1, chunk.values, n, y, n, &keep_all, 0}, 2);
  wkv7_keys_to_end(chunk, n_tokens, n);
  multiply({n, 2 * n_tokens, n, chunk.keys, 1, n, chunk.values, n, chunk.state, n, chunk.decay, 1});
  for (Index t = 0; t < n_tokens; ++t) copy(y + t * n, n, part.y + t * part.n_head * n);
}

RWKV_ATTR inline void transpose(const Scalar* from, Index n, Scalar* to) noexcept {
  for (Index i = 0; i < n; ++i) {
    for (Index j = 0; j < n; ++j) to[j * n + i] = from[i * n + j];
  }
}

RWKV_ATTR inline void wkv7_chunked(const Wkv7Call<Scalar>& call, Index chunk_length, Index begin, Index end,
                                   Scalar* scratch) noexcept {
  const Index n = call.head_size;
  for (Index head = begin; head < end; ++head) {
    Scalar* const state = call.state + head * n * n;
    transpose(state, n, scratch);
    for (Index first = 0; first < call.n_tokens; first += chunk_length) {
      const Index n_tokens = smaller(call.n_tokens - first, chunk_length);
      wkv7_chunk(part_of(call, head, first, n_tokens), Wkv7Chunk::in(scratch, n_tokens, n));
    }
    transpose(scratch, n, state);
  }
}

}  // namespace kernels::RWKV_ISA
RWKV_NAMESPACE_END
