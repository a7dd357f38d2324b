// SPDX-License-Identifier: MIT
// Which tensors of a model are stored in which type, when it is converted to one.
#pragma once

#include <map>
#include <string>

#include "rwkv/arch/builder.hpp"
#include "rwkv/arch/detect.hpp"
#include "rwkv/core/dtype.hpp"
#include "rwkv/core/tensor.hpp"

RWKV_NAMESPACE_BEGIN

/// By the name of a tensor: what it is stored in.
using TensorTypes = std::map<std::string, DType>;

namespace detail {

/// What takes the place of blocks where rows are no multiple of 256: blocks of 32 with as many bits or more, those that
/// llama.cpp chooses (tensor_type_fallback, src/llama-quant.cpp).
[[nodiscard]] constexpr DType with_small_blocks(DType blocks) noexcept {
  switch (blocks) {
    case DType::q4_k: return DType::q5_0;
    case DType::q5_k: return DType::q5_1;
    case DType::q6_k: return DType::q8_0;
    default: return blocks;
  }
}

}  // namespace detail

/// The type for a tensor of a model that is stored in `wanted` and was in `own`:
///
/// |                                                | wanted: f32, f16, bf16, f64 | wanted: blocks           |
/// | ---------------------------------------------- | --------------------------- | ------------------------ |
/// | matrices of layers                             | wanted                      | wanted                   |
/// | embeddings, the head, all outside of layers    | wanted                      | q8_0, or own blocks      |
/// | low-rank matrices, tuned states                | wanted                      | own                      |
/// | vectors                                        | wanted if `is_exact`        | own                      |
///
/// Blocks need rows of whole blocks. Where a row is a multiple of 32 and not of 256, q4_k becomes q5_0, q5_k q5_1 and
/// q6_k q8_0; rows that are no multiple of 32 stay in their own type if that has 16 bits, or else become f16.
///
/// Few bits cost more in the head and the embedding than elsewhere: rwkv.cpp leaves both as they are for that reason
/// (rwkv_quantize.inc), and low-rank matrices, which make the decays and mixes and are a few percent of a model.
/// `is_exact`: no number of the tensor changes in the wanted type.
[[nodiscard]] inline DType stored_dtype(const TensorSpec& spec, DType own, DType wanted, bool is_exact) {
  const bool is_vector = spec.role == TensorRole::vector;
  if (info(wanted).block_elements == 1) return is_vector && !is_exact ? own : wanted;
  const bool is_matrix = spec.role == TensorRole::matrix || spec.role == TensorRole::sparse;
  if (spec.role == TensorRole::embedding || (is_matrix && !detail::parse_layer_name(spec.name))) {
    if (info(own).block_elements > 1) return own;
    wanted = DType::q8_0;
  } else if (!is_matrix || spec.shape.rank() != 2) {
    return own;
  }
  if (checked_n_bytes(wanted, spec.shape)) return wanted;
  if (checked_n_bytes(detail::with_small_blocks(wanted), spec.shape)) return detail::with_small_blocks(wanted);
  return own == DType::bf16 ? own : DType::f16;
}

RWKV_NAMESPACE_END
