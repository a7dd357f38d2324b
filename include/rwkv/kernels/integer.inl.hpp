// SPDX-License-Identifier: MIT
// Part of the text included for an instruction set: products of weights in blocks with activations rounded to 8 bits.
//
// The sum over a group of code * activation code is exact in integers. A group adds scale * sum, and its offset times
// the sum of its activations.

RWKV_NAMESPACE_BEGIN
namespace kernels::RWKV_ISA {

/// A value that is not finite makes all scales NaN.
RWKV_ATTR inline void round_row(const float* x, const RoundedRow& y) noexcept {
  Lanes poison = Lanes::set(0);  // 0, or NaN
  for (Index i = 0; i < y.n_groups * group_size; i += Lanes::count) {
    poison = Lanes::fma(Lanes::load(x + i), Lanes::set(0), poison);
  }
  const float zero = poison.total();
  for (Index g = 0; g < y.n_groups; ++g) {
    const float* const from = x + g * group_size;
    Lanes largest = Lanes::set(0);
    for (Index i = 0; i < group_size; i += Lanes::count) {
      const Lanes values = Lanes::load(from + i);
      largest = Lanes::max(largest, Lanes::max(values, Lanes::set(0) - values));
    }
    const float top = largest.largest();
    const Lanes factor = Lanes::set(top > 1e-30f ? 127 / top : 0);  // less is nothing, and 127 / top might be infinite
    const float scale = top / 127 + zero;
    float sums[2] = {0, 0};
    for (Index i = 0; i < group_size; i += Lanes::count) {
      const Lanes codes = Lanes::round(Lanes::load(from + i) * factor);
      codes.store_i8(y.codes() + g * group_size + i);
      sums[i / 16] += codes.total();
    }
    y.scales(1)[g] = y.scales(2)[2 * g] = y.scales(2)[2 * g + 1] = scale;
    for (int half = 0; half < 2; ++half) y.sums(2)[2 * g + half] = sums[half] * scale;
    y.sums(1)[g] = (sums[0] + sums[1]) * scale;
  }
}

RWKV_ATTR inline void restore_row(const RoundedRow& x, float* y) noexcept {
  const auto* const codes = reinterpret_cast<const std::byte*>(x.codes());
  for (Index i = 0; i < x.n_groups * group_size; i += Lanes::count) {
    (Lanes::load_i8(codes + i) * Lanes::set(x.scales(1)[i / group_size])).store(y + i);
  }
}

/// A scale for all 32 products, or one for each half of them.
template <int n_scales>
RWKV_INLINE Lanes set_scales(const float* scales) noexcept {
  return n_scales == 1 ? Lanes::set(*scales) : Lanes::set_halves(scales);
}

/// By lane, for nibbles that are shifted codes.
inline constexpr float nibble_shifts[]{1, 1, 1, 1, 1 / 16.f, 1 / 16.f, 1 / 16.f, 1 / 16.f};

/// Multiplies the scales of a piece of a row by those of the activations, from the group that is number `first` there,
/// and returns the products of the offsets, in lanes. What was added to shifted codes is among them.
template <CodeLayout layout, int n_scales>
RWKV_INLINE Lanes scale_groups(const Groups& groups, Index n, const RoundedRow& x, Index first,
                               float* scales) noexcept {
  constexpr bool is_signed = layout == CodeLayout::signed_bytes;
  Lanes sum = Lanes::set(0);
  const Index count = n * n_scales, at = first * n_scales;
  for (Index i = 0; i < count; i += Lanes::count) {
    const Index left = count - i;
    const Lanes weights = load(groups.scales + i, left);
    (weights * load(x.scales(n_scales) + at + i, left)).store(scales + i);
    if constexpr (!is_signed || Dots::are_shifted) {
      const Lanes offsets = is_signed ? weights * Lanes::set(-128) : load(groups.offsets + i, left);
      sum = Lanes::fma(offsets, load(x.sums(n_scales) + at + i, left), sum);
    }
  }
  return sum;
}

inline constexpr int rows_at_once = 4;  // they share the loads of activations, and are as many streams of memory

/// Adds the products of pieces of rows with a row of activations.
template <CodeLayout layout, int n_scales>
RWKV_INLINE void dot_groups(const Groups (&groups)[rows_at_once], Index n, const RoundedRow& x, Index first,
                            Lanes (&sums)[rows_at_once]) noexcept {
  alignas(64) float scales[rows_at_once][2 * Groups::most];
  for (int r = 0; r < rows_at_once; ++r) {
    sums[r] = sums[r] + scale_groups<layout, n_scales>(groups[r], n, x, first, scales[r]);
  }
  const std::int8_t* const activations = x.codes() + first * group_size;
  Lanes more[rows_at_once];
  RWKV_UNROLL
  for (int r = 0; r < rows_at_once; ++r) more[r] = Lanes::set(0);
  for (Index g = 0; g < n; ++g) {
    RWKV_UNROLL
    for (int r = 0; r < rows_at_once; ++r) {
      const Lanes products = dot32<layout>(groups[r], g, activations + g * group_size);
      more[r] = Lanes::fma(products, set_scales<n_scales>(scales[r] + g * n_scales), more[r]);
    }
  }
  RWKV_UNROLL
  for (int r = 0; r < rows_at_once; ++r) {
    if (Dots::are_shifted && layout == CodeLayout::nibbles) more[r] = more[r] * Lanes::load(nibble_shifts);
    sums[r] = sums[r] + more[r];
  }
}

/// Rows of weights in blocks: `size` bytes for each `block` numbers.
struct PackedRows {
  Unpack unpack;
  Index block, size;
  const std::byte* weight;
  Index row_bytes;
};

/// For rows first, first + stride, ...: n_rows of them.
template <CodeLayout layout, int n_scales>
RWKV_INLINE void dot_packed_rows(const PackedRows& rows, const RoundedRow* x, Index n_tokens, float* y, Index n_out,
                                 Index first, Index stride, Index n_rows) noexcept {
  Groups groups[rows_at_once];
  Lanes sums[max_few_rows][rows_at_once];
  for (Index t = 0; t < n_tokens; ++t) {
    for (int r = 0; r < rows_at_once; ++r) sums[t][r] = Lanes::set(0);
  }
  for (Index begin = 0; begin < x->n_groups; begin += Groups::most) {
    const Index n = x->n_groups - begin < Groups::most ? x->n_groups - begin : Groups::most;
    const Index offset = begin * group_size / rows.block * rows.size;
    const Index n_bytes = n == x->n_groups ? rows.row_bytes : n * group_size / rows.block * rows.size;
    for (Index r = 0; r < rows_at_once; ++r) {
      const Index row = first + (r < n_rows ? r * stride : 0);  // fewer rows: the first one again, for nobody
      const std::byte* const from = rows.weight + row * rows.row_bytes + offset;
      // The next piece. Not into the first level: rows a power of 2 apart would push each other out of it.
      for (Index i = n_bytes; i < 2 * n_bytes; i += 64) __builtin_prefetch(from + i, 0, 2);
      rows.unpack(from, n, groups[r]);
    }
    for (Index t = 0; t < n_tokens; ++t) RWKV_ISA::dot_groups<layout, n_scales>(groups, n, x[t], begin, sums[t]);
  }
  for (Index t = 0; t < n_tokens; ++t) {
    float totals[rows_at_once];
    Lanes::store_totals(sums[t], totals);
    for (Index r = 0; r < n_rows; ++r) y[t * n_out + first + r * stride] = totals[r];
  }
}

template <CodeLayout layout, int n_scales>
RWKV_ATTR RWKV_NOINLINE void multiply_packed(const PackedRows& rows, const RoundedRow* x, Index n_tokens, float* y,
                                             Index n_out, Index begin, Index end) noexcept {
  const Index share = (end - begin + rows_at_once - 1) / rows_at_once;  // far apart, as in matmul.inl.hpp
  for (Index row = begin; row < begin + share; ++row) {
    const Index n_rows = (end - row + share - 1) / share;
    dot_packed_rows<layout, n_scales>(rows, x, n_tokens, y, n_out, row, share, n_rows);
  }
}

template <class Packed>
RWKV_ATTR void multiply_rounded(const std::byte* weight, Index n_in, const RoundedRow* x, Index n_tokens, float* y,
                                Index n_out, Index begin, Index end) noexcept {
  multiply_packed<Packed::layout, Packed::n_scales>(
      {unpacking::for_products<Packed>(), Packed::block, Packed::size, weight, n_in / Packed::block * Packed::size}, x,
      n_tokens, y, n_out, begin, end);
}

template <class... Packed>
RoundedProducts rounded_products(unpacking::PackedTypes<Packed...>) noexcept {
  RoundedProducts products{round_row, restore_row};
  ((products.multiply[static_cast<std::size_t>(Packed::dtype)] = multiply_rounded<Packed>), ...);
  return products;
}

}  // namespace kernels::RWKV_ISA
RWKV_NAMESPACE_END
