// SPDX-License-Identifier: MIT
// Part of the text included once for each instruction set: products with weights [n_in, n_out], a row for each input.
//
// One token or a few: rows are scaled and added up, some at once, and those of inputs that are zero are never read.
// Many tokens: some columns are widened into cache as if they were packed activations, and gemm_tile takes the
// activations for its rows.

RWKV_NAMESPACE_BEGIN
namespace kernels::RWKV_ISA {

inline constexpr Index inputs_at_once = 8;     // streams, few enough for the hardware to follow
inline constexpr Index columns_at_once = 256;  // of those that are widened: 8 KB

/// The inputs [begin, end) that are not zero for every token; then the last one again, so that chains end together.
RWKV_ATTR inline Index choose_inputs(const Scalar* x, Index n_in, Index n_tokens, Index begin, Index end,
                                     Index (&chosen)[inputs_of_task + 1]) noexcept {
  Index n = 0;
  for (Index k = begin; k < end; ++k) {
    bool is_used = false;
    for (Index t = 0; t < n_tokens; ++t) is_used |= x[t * n_in + k] != 0;
    chosen[n] = k;
    n += is_used ? 1 : 0;
  }
  chosen[n] = n == 0 ? begin : chosen[n - 1];
  return n;
}

/// Rows in place: those of chosen inputs.
template <class StoredNumbers>
struct ChosenRows {
  using Stored = StoredNumbers;
  const std::byte* column;
  Index row_bytes;
  const Index* chosen;
  RWKV_INLINE const std::byte* at(Index r) const noexcept { return column + chosen[r] * row_bytes; }
};

/// Rows widened into cache.
struct WidenedRows {
  struct Stored {
    static constexpr Index size = sizeof(Scalar);
    RWKV_INLINE static Lanes load(const std::byte* from) noexcept {
      return Lanes::load(reinterpret_cast<const Scalar*>(from));
    }
  };
  const Scalar (&numbers)[inputs_at_once][columns_at_once];
  RWKV_INLINE const std::byte* at(Index r) const noexcept { return reinterpret_cast<const std::byte*>(numbers[r]); }
};

/// y[i] += sum over r of rows[r][i] x[inputs[r]] for columns from i on, n_sums registers at a time, as long as these
/// are filled by the columns before n.
template <int n_sums, class Rows>
RWKV_INLINE void add_columns(const Rows& rows, const Index* inputs, Index n_inputs, const Scalar* x, Scalar* y,
                             Index& i, Index n) noexcept {
  using Stored = typename Rows::Stored;
  constexpr int n_chains = 2;  // of each sum, so that enough additions overlap
  for (; i + n_sums * Lanes::count <= n; i += n_sums * Lanes::count) {
    Lanes sums[n_chains][n_sums];
    RWKV_UNROLL
    for (int s = 0; s < n_sums; ++s) {
      sums[0][s] = Lanes::load(y + i + s * Lanes::count);
      sums[1][s] = Lanes::set(0);
    }
    for (Index first = 0; first < n_inputs; first += n_chains) {
      RWKV_UNROLL
      for (int chain = 0; chain < n_chains; ++chain) {
        const Index r = first + chain;
        const std::byte* const row = rows.at(r);
        const Lanes factor = Lanes::set(r < n_inputs ? x[inputs[r]] : Scalar(0));
        RWKV_UNROLL
        for (int s = 0; s < n_sums; ++s) {
          const Lanes weights = Stored::load(row + (i + s * Lanes::count) * Stored::size);
          sums[chain][s] = Lanes::fma(weights, factor, sums[chain][s]);
        }
      }
    }
    RWKV_UNROLL
    for (int s = 0; s < n_sums; ++s) (sums[0][s] + sums[1][s]).store(y + i + s * Lanes::count);
  }
}

/// The same for all n columns.
template <class Rows>
RWKV_INLINE void add_rows(const Rows& rows, const Index* inputs, Index n_inputs, const Scalar* x, Scalar* y,
                          Index n) noexcept {
  Index i = 0;
  add_columns<4>(rows, inputs, n_inputs, x, y, i, n);
  add_columns<2>(rows, inputs, n_inputs, x, y, i, n);
  for (; i < n; i += Lanes::count) {
    Lanes sum = load(y + i, n - i);
    for (Index r = 0; r < n_inputs; ++r) {
      const Lanes weights = load_stored<typename Rows::Stored>(rows.at(r) + i * Rows::Stored::size, n - i);
      sum = Lanes::fma(weights, Lanes::set(x[inputs[r]]), sum);
    }
    store(sum, y + i, n - i);
  }
}

/// The same for several tokens, or for types that take some work: y is [n_tokens, n_out].
RWKV_ATTR RWKV_NOINLINE inline void add_widened_rows(const WeightByInput<Scalar>& weight, const Index* inputs,
                                                     Index n_inputs, const Scalar* x, Index n_tokens, Scalar* y,
                                                     Index n_out, Index begin, Index end) noexcept {
  Scalar numbers[inputs_at_once][columns_at_once];
  for (Index o = begin; o < end; o += columns_at_once) {
    const Index n = end - o < columns_at_once ? end - o : columns_at_once;
    for (Index r = 0; r <= n_inputs && r < inputs_at_once; ++r) weight.expand(weight.at(inputs[r], o), n, numbers[r]);
    for (Index t = 0; t < n_tokens; ++t) {
      add_rows(WidenedRows{numbers}, inputs, n_inputs, x + t * weight.n_in, y + t * n_out + o, n);
    }
  }
}

/// Of single numbers; of all types where Stored is void.
template <class Stored>
RWKV_ATTR void gemv_by_input(const WeightByInput<Scalar>& weight, Index first_input, Index last_input, const Scalar* x,
                             Index n_tokens, Scalar* y, Index n_out, Index begin, Index end) noexcept {
  Index chosen[inputs_of_task + 1];
  const Index n_chosen = choose_inputs(x, weight.n_in, n_tokens, first_input, last_input, chosen);
  for (Index t = 0; t < n_tokens; ++t) {
    for (Index o = begin; o < end; ++o) y[t * n_out + o] = 0;
  }
  for (Index i = 0; i < n_chosen; i += inputs_at_once) {
    const Index n = n_chosen - i < inputs_at_once ? n_chosen - i : inputs_at_once;
    const Index* const inputs = chosen + i;
    if constexpr (!std::is_void_v<Stored>) {
      if (n_tokens == 1) {
        const ChosenRows<Stored> rows{weight.at(0, begin), weight.row_bytes, inputs};
        add_rows(rows, inputs, n, x, y + begin, end - begin);
        continue;
      }
    }
    add_widened_rows(weight, inputs, n, x, n_tokens, y, n_out, begin, end);
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
