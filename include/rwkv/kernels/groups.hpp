// SPDX-License-Identifier: MIT
// What all instruction sets agree on about weights in blocks: groups of 32 codes, and activations rounded to 8 bits.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "rwkv/core/dtype.hpp"

RWKV_NAMESPACE_BEGIN

inline constexpr Index group_size = 32;

namespace kernels {
/// What GCC and Clang offer on every processor.
using Bytes __attribute__((vector_size(16))) = std::uint8_t;
}  // namespace kernels

/// How the 32 codes of a group stand.
enum class CodeLayout {
  unsigned_bytes,
  signed_bytes,  ///< of numbers without offsets
  nibbles,       ///< 16 bytes, the low halves first
  nibble_pairs   ///< blocks of 8 groups; of 32 bytes the low halves are one group, the high halves the next one
};

/// A piece of a row of weights on its way from a block format (core/blocks.hpp) into a product: groups of 32 numbers
/// code * scale + offset. A scale serves 32 or 16 of them, as the format has it.
struct Groups {
  static constexpr Index most = 32;  ///< 1024 numbers: with their scales they stay in the first-level cache
  const std::byte* codes;
  Index stride;  ///< from one group to the next, or, for nibble_pairs, from one block to the next
  alignas(64) float scales[2 * most];
  alignas(64) float offsets[2 * most];
  alignas(64) std::byte unpacked[group_size * most];  ///< where codes points to, unless they are read in place

  template <CodeLayout layout>
  [[nodiscard]] const std::byte* at(Index group) const noexcept {
    if constexpr (layout == CodeLayout::nibble_pairs) return codes + (group >> 3) * stride + (group >> 1 & 3) * 32;
    return codes + group * stride;
  }
};

/// n_groups whole groups, at most Groups::most, from the begin of a block.
using Unpack = void (*)(const std::byte* stored, Index n_groups, Groups& groups) noexcept;

/// A row of activations rounded to 8 bits: in each group of 32 the largest magnitude has the code 127 or -127.
/// The arrays stand one after the other in memory of rounded_bytes().
struct RoundedRow {
  std::byte* memory;
  Index n_groups;

  [[nodiscard]] std::int8_t* codes() const noexcept { return reinterpret_cast<std::int8_t*>(memory); }
  /// For each group, or twice for each: activation = code * scale.
  [[nodiscard]] float* scales(int n_scales) const noexcept { return numbers() + (n_scales - 1) * n_groups; }
  /// For each group, or for each half of one: the sum of its rounded activations.
  [[nodiscard]] float* sums(int n_scales) const noexcept { return numbers() + (n_scales + 2) * n_groups; }

private:
  [[nodiscard]] float* numbers() const noexcept { return reinterpret_cast<float*>(memory + group_size * n_groups); }
};

/// What dot32 of an instruction set gives: products of the codes.
struct ExactDots {
  static constexpr bool are_shifted = false;
};
/// Or products of codes that take less work to make, where sums of any bytes without a sign times activations are
/// exact: signed codes plus 128, and the second half of a group of nibbles times 16. Many groups are put right at once.
struct ShiftedDots {
  static constexpr bool are_shifted = true;
};

/// As many rows of activations at most are multiplied by one reading of the weights, without packing.
inline constexpr Index max_few_rows = 16;

/// The memory of a RoundedRow; a multiple of 4.
[[nodiscard]] constexpr Index rounded_bytes(Index n) noexcept {
  return n / group_size * (group_size + 6 * static_cast<Index>(sizeof(float)));
}

template <class Scalar>
struct WeightByInput;

/// Products of stored weights with many rows of activations, numbers or RoundedRow, which are packed first.
template <class Input, class Scalar>
struct PackedProducts {
  Index rows = 0;    ///< outputs of one register tile; work is split at multiples of them
  Index tokens = 0;  ///< of one block of packed activations
  Index (*packed_bytes)(Index n_in) noexcept = nullptr;   ///< of one block
  Index (*scratch_bytes)(Index n_in) noexcept = nullptr;  ///< for each thread
  /// Packs blocks [begin, end) of x: numbers [n_tokens, n_in], or n_tokens rows.
  void (*pack)(const Input* x, Index n_tokens, Index n_in, std::byte* packed, Index begin,
               Index end) noexcept = nullptr;
  /// y[t, o] = sum over k of weight[o, k] x[t, k] for o in [begin, end) and all tokens; y is [n_tokens, n_out].
  using Multiply = void (*)(const std::byte* weight, Index n_in, Index n_out, const std::byte* packed, Index n_tokens,
                            Scalar* y, Index begin, Index end, std::byte* scratch) noexcept;
  std::array<Multiply, dtype_infos.size()> multiply{};  ///< by DType; null where there is none
  /// The same with weights stored by input, of any type. begin is a multiple of weight.columns_of_task(). May be null.
  void (*multiply_by_input)(const WeightByInput<Scalar>& weight, Index n_out, const std::byte* packed, Index n_tokens,
                            Scalar* y, Index begin, Index end, std::byte* scratch) noexcept = nullptr;

  [[nodiscard]] Index n_blocks(Index n_tokens) const noexcept { return (n_tokens + tokens - 1) / tokens; }
};

/// The products of weights in blocks with rounded activations. Null where there are none.
struct RoundedProducts {
  /// A row with a value that is not finite becomes NaN.
  void (*round)(const float* x, const RoundedRow& y) noexcept = nullptr;
  /// y[i] = the i-th rounded activation
  void (*restore)(const RoundedRow& x, float* y) noexcept = nullptr;
  /// y[t, o] = sum over k of weight[o, k] x[t, k] for rows o in [begin, end) and 1 to max_few_rows tokens.
  using Multiply = void (*)(const std::byte* weight, Index n_in, const RoundedRow* x, Index n_tokens, float* y,
                            Index n_out, Index begin, Index end) noexcept;
  std::array<Multiply, dtype_infos.size()> multiply{};  ///< by DType

  /// The same with the rows of each 16 interleaved (kernels/interleave.hpp); begin and end are multiples of 16.
  std::array<Multiply, dtype_infos.size()> multiply_interleaved{};

  /// Up to how many rows multiply is the fastest.
  Index few_rows = max_few_rows;
  /// For more rows, up to most_rows, where the instruction set has something better than products of floats.
  PackedProducts<RoundedRow, float> gemm{};
  Index most_rows = 0;
};

RWKV_NAMESPACE_END
