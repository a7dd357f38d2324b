// SPDX-License-Identifier: MIT
// The kernels as a table of functions: one table for each instruction set, filled from one text for each algorithm.
//
// Kernels take pointers and sizes, allocate nothing, throw nothing, and may be called from many threads at once on
// disjoint results. Pointers need the alignment of their type only. Outputs may be an input where it says so.
#pragma once

#include <array>
#include <cstddef>
#include <type_traits>

#include "rwkv/core/blocks.hpp"
#include "rwkv/core/dtype.hpp"
#include "rwkv/core/linkage.hpp"
#include "rwkv/kernels/groups.hpp"
#include "rwkv/kernels/isa.hpp"

RWKV_NAMESPACE_BEGIN

/// One call of the RWKV-4 operator over the tokens of a sequence; the mathematics are in arch/wkv4.hpp.
/// k, v and y are [n_tokens, n_channels], all others [n_channels].
template <class Scalar>
struct Wkv4Call {
  Index n_tokens;
  Index n_channels;
  const Scalar* w;  ///< log-decay per step, negative
  const Scalar* u;  ///< bonus of the current token
  const Scalar* k;
  const Scalar* v;
  Scalar* y;  ///< null: only the state is wanted
  Scalar* aa;
  Scalar* bb;
  Scalar* pp;
};

/// One call of the operator of RWKV-5 and RWKV-6 over the tokens of a sequence; the mathematics are in arch/wkv5.hpp.
/// r, k, v and y are [n_tokens, n_head * head_size]; y is none of the others, whose values are read more than once.
template <class Scalar>
struct Wkv5Call {
  Index n_tokens;
  Index n_head;
  Index head_size;
  const Scalar* r;
  const Scalar* k;
  const Scalar* v;
  const Scalar* w;  ///< decay of a step, 0..1: a row for each token (RWKV-6), or one for all (RWKV-5)
  Index w_stride;   ///< from the decays of one token to those of the next: n_head * head_size, or 0
  const Scalar* u;  ///< [n_head * head_size], bonus of the current token
  Scalar* y;
  Scalar* state;  ///< [n_head, head_size (key), head_size (value)]; updated
};

/// One call of the operator of RWKV-7 over the tokens of a sequence; the mathematics are in arch/wkv7.hpp.
/// All but the state are [n_tokens, n_head * head_size]; y may be v and no other.
template <class Scalar>
struct Wkv7Call {
  Index n_tokens;
  Index n_head;
  Index head_size;
  const Scalar* r;
  const Scalar* w;  ///< decay of a step, in e^{-e^{-1/2}} .. 1
  const Scalar* k;
  const Scalar* v;
  const Scalar* kk;  ///< removal key, of unit length in each head, or zero
  const Scalar* a;   ///< in-context learning rate, 0..1
  Scalar* y;
  Scalar* state;  ///< [n_head, head_size (value), head_size (key)]; updated
};

/// The scratch of the chunked kernels, in values, one for each thread.
[[nodiscard]] constexpr Index wkv5_scratch(Index head_size, Index chunk_length) noexcept {
  return (4 * head_size + chunk_length) * chunk_length + head_size;
}
[[nodiscard]] constexpr Index wkv7_scratch(Index head_size, Index chunk_length) noexcept {
  return head_size * head_size + (6 * head_size + 4 * chunk_length) * chunk_length + head_size;
}

/// Weights [n_in, n_out] stored by input, a row for each, or some columns of such.
template <class Scalar>
struct WeightByInput {
  const std::byte* data;  ///< of the first column, where a block begins
  Index n_in;
  Index row_bytes;  ///< from row to row
  Index block_elements, block_bytes;
  void (*expand)(const std::byte* stored, Index n, Scalar* y) noexcept;  ///< as KernelTable::expand

  [[nodiscard]] const std::byte* at(Index input, Index output) const noexcept {
    return data + input * row_bytes + output / block_elements * block_bytes;
  }
  /// Work on gemm_by_input is split at multiples of so many outputs: whole blocks, whole register tiles.
  [[nodiscard]] Index columns_of_task() const noexcept { return block_elements > 32 ? block_elements : 32; }
};
inline constexpr Index max_columns_of_task = 256;

/// As many inputs at most are added up by one call of gemv_by_input.
inline constexpr Index inputs_of_task = 256;

/// The functions of one instruction set. All are noexcept, allocate nothing and check nothing.
template <class Scalar>
struct KernelTable {
  Isa isa;

  /// y[t, o] = sum over k of weight[o, k] x[t, k] for rows o in [begin, end) and 1 to max_few_rows tokens: the weights
  /// are read once. weight is [n_out, n_in] in its dtype, x [n_tokens, n_in], y [n_tokens, n_out].
  using Gemv = void (*)(const std::byte* weight, Index n_in, const Scalar* x, Index n_tokens, Scalar* y, Index n_out,
                        Index begin, Index end) noexcept;
  /// y[i] = the i-th of n stored numbers.
  using Expand = void (*)(const std::byte* stored, Index n, Scalar* y) noexcept;

  /// By DType; null for types that hold no weights.
  std::array<Gemv, dtype_infos.size()> gemv{};
  std::array<Expand, dtype_infos.size()> expand{};
  PackedProducts<Scalar, Scalar> gemm{};  ///< for more tokens
  /// The same, faster, for some types: numbers are split into two of bf16, so that results may be off by split_error of
  /// the sum of the magnitudes of the products, besides rounding in float.
  PackedProducts<Scalar, Scalar> split_gemm{};
  static constexpr double split_error = 0x1p-16;

  /// y[t, o] = sum over k in [first_input, last_input), inputs_of_task at most, of x[t, k] weight[k, o], for o in
  /// [begin, end), which begins and ends with blocks, and 1 to max_few_rows tokens. Rows of inputs that are zero for
  /// all tokens are not read. x is [n_tokens, n_in], y [n_tokens, n_out].
  using GemvByInput = void (*)(const WeightByInput<Scalar>& weight, Index first_input, Index last_input,
                               const Scalar* x, Index n_tokens, Scalar* y, Index n_out, Index begin,
                               Index end) noexcept;
  std::array<GemvByInput, dtype_infos.size()> gemv_by_input{};  ///< by DType
  /// The same over all inputs and more than max_few_rows tokens. begin is a multiple of columns_of_task(). scratch is
  /// [columns_of_task(), n_in], one for each thread.
  void (*gemm_by_input)(const WeightByInput<Scalar>& weight, const Scalar* x, Index n_tokens, Scalar* y, Index n_out,
                        Index begin, Index end, Scalar* scratch) noexcept;

  RoundedProducts rounded;  ///< of float only

  /// y = (x - mean) / sqrt(variance + eps) * weight + bias, over n values; y may be x.
  void (*layer_norm)(const Scalar* x, const Scalar* weight, const Scalar* bias, Scalar eps, Scalar* y,
                     Index n) noexcept;
  /// y = x mu + previous (1 - mu); y may be any of them
  void (*mix)(const Scalar* x, const Scalar* previous, const Scalar* mu, Scalar* y, Index n) noexcept;
  /// x += y
  void (*add)(Scalar* x, const Scalar* y, Index n) noexcept;
  /// y = sigmoid(gate) x; y may be x or gate
  void (*gate)(const Scalar* gate, const Scalar* x, Scalar* y, Index n) noexcept;
  /// y = gate sigmoid(gate) x; y may be x or gate
  void (*silu_gate)(const Scalar* gate, const Scalar* x, Scalar* y, Index n) noexcept;
  /// x = max(x, 0)^2
  void (*relu_squared)(Scalar* x, Index n) noexcept;
  /// x *= y
  void (*multiply)(Scalar* x, const Scalar* y, Index n) noexcept;
  /// x = tanh(x)
  void (*tanh)(Scalar* x, Index n) noexcept;
  /// x = sigmoid(x + bias); no bias if it is null
  void (*sigmoid)(Scalar* x, const Scalar* bias, Index n) noexcept;

  /// The decay of a step in RWKV-6: x = e^{-e^{x + bias}}
  void (*decay6)(Scalar* x, const Scalar* bias, Index n) noexcept;
  /// The decay of a step in RWKV-7: x = e^{-e^{-1/2} sigmoid(x + bias)}
  void (*decay7)(Scalar* x, const Scalar* bias, Index n) noexcept;
  /// The two keys of RWKV-7 for one head of n channels, from the key k and the learning rate a: the removal key
  /// kk = k k_k / max(|k k_k|, 1e-12), and then k *= 1 + (a - 1) k_a.
  void (*keys7)(Scalar* k, const Scalar* a, const Scalar* k_k, const Scalar* k_a, Scalar* kk, Index n) noexcept;
  /// What RWKV-7 adds for the current token, for one head of n channels: y += (sum of r k r_k) v.
  void (*bonus7)(const Scalar* r, const Scalar* k, const Scalar* r_k, const Scalar* v, Scalar* y, Index n) noexcept;
  /// The recurrence of RWKV-4 for channels [begin, end); aa, bb, pp are updated. y may be k or v.
  void (*wkv4)(const Wkv4Call<Scalar>& call, Index begin, Index end) noexcept;
  /// The recurrences of RWKV-5 and RWKV-6, and of RWKV-7, for heads [begin, end).
  void (*wkv5)(const Wkv5Call<Scalar>& call, Index begin, Index end) noexcept;
  void (*wkv7)(const Wkv7Call<Scalar>& call, Index begin, Index end) noexcept;
  /// The same by chunks of up to chunk_length tokens; scratch is wkv5_scratch(), wkv7_scratch() values.
  void (*wkv5_chunked)(const Wkv5Call<Scalar>& call, Index chunk_length, Index begin, Index end,
                       Scalar* scratch) noexcept;
  void (*wkv7_chunked)(const Wkv7Call<Scalar>& call, Index chunk_length, Index begin, Index end,
                       Scalar* scratch) noexcept;
};

RWKV_NAMESPACE_END
