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

/// The products of a piece of a row of weights with a row of activations, from the group that is number `first` there.
template <CodeLayout layout, int n_scales>
RWKV_INLINE Lanes dot_groups(const Groups& groups, Index n, const RoundedRow& x, Index first) noexcept {
  alignas(64) float scales[2 * Groups::most];
  Lanes sums[2] = {Lanes::set(0), Lanes::set(0)};
  const Index count = n * n_scales, at = first * n_scales;
  for (Index i = 0; i < count; i += Lanes::count) {
    const Index left = count - i;
    const Lanes both = load(groups.scales + i, left) * load(x.scales(n_scales) + at + i, left);
    both.store(scales + i);
    if constexpr (layout != CodeLayout::signed_bytes) {
      sums[1] = Lanes::fma(load(groups.offsets + i, left), load(x.sums(n_scales) + at + i, left), sums[1]);
    }
  }
  const std::int8_t* const activations = x.codes() + first * group_size;
  Index g = 0;
  for (; g + 2 <= n; g += 2) {
    RWKV_UNROLL
    for (int k = 0; k < 2; ++k) {
      const Lanes products = dot32<layout>(groups, g + k, activations + (g + k) * group_size);
      sums[k] = Lanes::fma(products, set_scales<n_scales>(scales + (g + k) * n_scales), sums[k]);
    }
  }
  if (g < n) {
    const Lanes products = dot32<layout>(groups, g, activations + g * group_size);
    sums[0] = Lanes::fma(products, set_scales<n_scales>(scales + g * n_scales), sums[0]);
  }
  return sums[0] + sums[1];
}

/// Rows of weights in blocks.
struct PackedRows {
  Unpack unpack;
  Index block, size;
  const std::byte* weight;
  Index n_in;

  RWKV_INLINE const std::byte* at(Index row, Index i) const noexcept {
    return weight + (row * n_in + i) / block * size;
  }
};

/// For rows first, first + stride, ...: n_rows of them, 4 at most.
template <CodeLayout layout, int n_scales>
RWKV_INLINE void dot_packed_rows(const PackedRows& rows, const RoundedRow* x, Index n_tokens, float* y, Index n_out,
                                 Index first, Index stride, Index n_rows) noexcept {
  Groups groups;
  Lanes sums[4][max_rounded_rows];
  for (Index begin = 0; begin < x->n_groups; begin += Groups::most) {
    const Index n = x->n_groups - begin < Groups::most ? x->n_groups - begin : Groups::most;
    for (Index r = 0; r < n_rows; ++r) {
      const Index row = first + r * stride;
      const std::byte* const from = rows.at(row, begin * group_size);
      const std::byte* const end = rows.at(row, (begin + n) * group_size);
      for (const std::byte* line = from; line < end; line += 64) __builtin_prefetch(line);  // all at once
      rows.unpack(from, n, groups);
      for (Index t = 0; t < n_tokens; ++t) {
        const Lanes more = dot_groups<layout, n_scales>(groups, n, x[t], begin);
        sums[r][t] = begin == 0 ? more : sums[r][t] + more;
      }
    }
  }
  for (Index r = 0; r < n_rows; ++r) {
    for (Index t = 0; t < n_tokens; ++t) y[t * n_out + first + r * stride] = sums[r][t].total();
  }
}

template <CodeLayout layout, int n_scales>
RWKV_ATTR RWKV_NOINLINE void multiply_packed(const PackedRows& rows, const RoundedRow* x, Index n_tokens, float* y,
                                             Index n_out, Index begin, Index end) noexcept {
  const Index quarter = (end - begin) / 4;  // four streams, as in matmul.inl.hpp
  Index row = begin;
  for (; row < begin + quarter; ++row) {
    dot_packed_rows<layout, n_scales>(rows, x, n_tokens, y, n_out, row, quarter, 4);
  }
  for (row += 3 * quarter; row < end; ++row) {
    dot_packed_rows<layout, n_scales>(rows, x, n_tokens, y, n_out, row, 1, 1);
  }
}

template <class Packed>
RWKV_ATTR void multiply_rounded(const std::byte* weight, Index n_in, const RoundedRow* x, Index n_tokens, float* y,
                                Index n_out, Index begin, Index end) noexcept {
  multiply_packed<Packed::layout, Packed::n_scales>({unpacking::for_products<Packed>(), Packed::block, Packed::size, weight, n_in}, x,
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
