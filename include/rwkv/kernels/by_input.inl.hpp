// SPDX-License-Identifier: MIT
// Part of the text included once for each instruction set: products with weights [n_in, n_out], a row for each input.
//
// One token or a few: rows are scaled and added up, some at once, and those of inputs that are zero are never read.
// Many tokens: some columns are widened into cache as if they were packed activations, and gemm_tile takes the
// activations for its rows.

RWKV_NAMESPACE_BEGIN
namespace kernels::RWKV_ISA {

inline constexpr Index inputs_at_once = 16;
inline constexpr Index columns_at_once = 256;  // of those that are widened: 16 KB

/// Rows of weights, and those that come next.
struct InputRows {
  const std::byte* rows[inputs_at_once];
  const std::byte* next[inputs_at_once];
  Index n;
};

/// y[i] += sum over r of rows[r][i] factors[r] for columns from i on, n_sums registers at a time, as long as these are
/// filled by the columns before n.
template <class Stored, int n_sums>
RWKV_INLINE void add_columns(const InputRows& inputs, const Scalar* factors, Scalar* y, Index& i, Index n) noexcept {
  for (; i + n_sums * Lanes::count <= n; i += n_sums * Lanes::count) {
    const Index beyond = (i - n) * Stored::size + prefetch_distance;  // the end of the row
    Lanes sums[n_sums];
    RWKV_UNROLL
    for (int s = 0; s < n_sums; ++s) sums[s] = Lanes::load(y + i + s * Lanes::count);
    for (Index r = 0; r < inputs.n; ++r) {
      __builtin_prefetch(beyond < 0 ? inputs.rows[r] + n * Stored::size + beyond : inputs.next[r] + beyond);
      const std::byte* const from = inputs.rows[r] + i * Stored::size;
      const Lanes factor = Lanes::set(factors[r]);
      RWKV_UNROLL
      for (int s = 0; s < n_sums; ++s) {
        sums[s] = Lanes::fma(Stored::load(from + s * Lanes::count * Stored::size), factor, sums[s]);
      }
    }
    RWKV_UNROLL
    for (int s = 0; s < n_sums; ++s) sums[s].store(y + i + s * Lanes::count);
  }
}

/// The same for all n columns.
template <class Stored>
RWKV_INLINE void add_rows(const InputRows& inputs, const Scalar* factors, Scalar* y, Index n) noexcept {
  Index i = 0;
  add_columns<Stored, 4>(inputs, factors, y, i, n);
  add_columns<Stored, 2>(inputs, factors, y, i, n);
  add_columns<Stored, 1>(inputs, factors, y, i, n);
  if (i == n) return;
  Lanes sum = load(y + i, n - i);
  for (Index r = 0; r < inputs.n; ++r) {
    sum = Lanes::fma(load_stored<Stored>(inputs.rows[r] + i * Stored::size, n - i), Lanes::set(factors[r]), sum);
  }
  store(sum, y + i, n - i);
}

/// The inputs [begin, end) that are not zero for every token.
RWKV_ATTR inline Index choose_inputs(const Scalar* x, Index n_in, Index n_tokens, Index begin, Index end,
                                     Index (&chosen)[inputs_of_task]) noexcept {
  Index n = 0;
  for (Index k = begin; k < end; ++k) {
    bool is_used = false;
    for (Index t = 0; t < n_tokens; ++t) is_used |= x[t * n_in + k] != 0;
    chosen[n] = k;
    n += is_used ? 1 : 0;
  }
  return n;
}

/// Numbers that were widened into cache.
struct Widened {
  static constexpr Index size = sizeof(Scalar);
  RWKV_INLINE static Lanes load(const std::byte* from) noexcept {
    return Lanes::load(reinterpret_cast<const Scalar*>(from));
  }
};

/// As add_rows, for several tokens, or for types that take some work: y is [n_tokens, n_out], factors
/// [n_tokens, inputs_at_once].
RWKV_ATTR RWKV_NOINLINE inline void add_widened_rows(const InputRows& inputs, const WeightByInput<Scalar>& weight,
                                                     const Scalar* factors, Index n_tokens, Scalar* y, Index n_out,
                                                     Index n) noexcept {
  Scalar numbers[inputs_at_once][columns_at_once];
  InputRows widened;
  widened.n = inputs.n;
  for (Index i = 0; i < n; i += columns_at_once) {
    const Index n_here = n - i < columns_at_once ? n - i : columns_at_once;
    for (Index r = 0; r < inputs.n; ++r) {
      weight.expand(inputs.rows[r] + i / weight.block_elements * weight.block_bytes, n_here, numbers[r]);
      widened.rows[r] = widened.next[r] = reinterpret_cast<const std::byte*>(numbers[r]);
    }
    for (Index t = 0; t < n_tokens; ++t) {
      add_rows<Widened>(widened, factors + t * inputs_at_once, y + t * n_out + i, n_here);
    }
  }
}

template <class Stored>
RWKV_ATTR void gemv_by_input(const WeightByInput<Scalar>& weight, Index first_input, Index last_input, const Scalar* x,
                             Index n_tokens, Scalar* y, Index n_out, Index begin, Index end) noexcept {
  Index chosen[inputs_of_task];
  const Index n_chosen = choose_inputs(x, weight.n_in, n_tokens, first_input, last_input, chosen);
  for (Index t = 0; t < n_tokens; ++t) {
    for (Index o = begin; o < end; ++o) y[t * n_out + o] = 0;
  }
  const std::byte* const column = weight.at(0, begin);
  Scalar factors[max_few_rows * inputs_at_once];
  InputRows inputs;
  for (Index i = 0; i < n_chosen; i += inputs_at_once) {
    inputs.n = n_chosen - i < inputs_at_once ? n_chosen - i : inputs_at_once;
    for (Index r = 0; r < inputs.n; ++r) {
      const Index k = chosen[i + r], next = i + r + inputs_at_once;
      inputs.rows[r] = column + k * weight.row_bytes;
      inputs.next[r] = next < n_chosen ? column + chosen[next] * weight.row_bytes : inputs.rows[r];
      for (Index t = 0; t < n_tokens; ++t) factors[t * inputs_at_once + r] = x[t * weight.n_in + k];
    }
    if (std::is_same_v<Stored, Widened> || n_tokens > 1) {
      add_widened_rows(inputs, weight, factors, n_tokens, y + begin, n_out, end - begin);
    } else {
      add_rows<Stored>(inputs, factors, y + begin, end - begin);
    }
  }
}

/// Columns [begin, begin + gemm_tokens) of the widened ones, times all tokens; those beyond `end` are for nobody.
RWKV_ATTR inline void gemm_panel(const Scalar* panel, Index n_in, const Scalar* x, Index n_tokens, Scalar* y,
                                 Index n_out, Index begin, Index end) noexcept {
  Scalar results[Lanes::gemm_rows][gemm_tokens];
  const Index n = end - begin < gemm_tokens ? end - begin : gemm_tokens;
  for (Index done = 0; done < n_tokens; done += Lanes::gemm_rows) {
    // The last tile begins earlier, so that it is a whole one: some results are computed twice.
    const Index token = done + Lanes::gemm_rows <= n_tokens ? done : n_tokens - Lanes::gemm_rows;
    gemm_tile(x + token * n_in, n_in, panel, results);
    for (Index t = 0; t < Lanes::gemm_rows; ++t) {
      for (Index i = 0; i < n; ++i) y[(token + t) * n_out + begin + i] = results[t][i];
    }
  }
}

RWKV_ATTR RWKV_NOINLINE inline void gemm_by_input(const WeightByInput<Scalar>& weight, const Scalar* x, Index n_tokens,
                                                  Scalar* y, Index n_out, Index begin, Index end,
                                                  Scalar* scratch) noexcept {
  const Index width = weight.columns_of_task();
  Scalar row[max_columns_of_task] = {};
  for (Index first = begin; first < end; first += width) {
    const Index n = end - first < width ? end - first : width;
    for (Index k = 0; k < weight.n_in; ++k) {
      weight.expand(weight.at(k, first), n, row);
      for (Index i = 0; i < n; i += gemm_tokens) {
        Scalar* const to = scratch + i * weight.n_in + k * gemm_tokens;
        Lanes::load(row + i).store(to);
        Lanes::load(row + i + Lanes::count).store(to + Lanes::count);
      }
    }
    for (Index i = 0; i < n; i += gemm_tokens) {
      gemm_panel(scratch + i * weight.n_in, weight.n_in, x, n_tokens, y, n_out, first + i, end);
    }
  }
}

}  // namespace kernels::RWKV_ISA
RWKV_NAMESPACE_END
