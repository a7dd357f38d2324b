// SPDX-License-Identifier: MIT
// Tensor names of time mixing, as far as other programs store such tensors in another form than the official files.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <string>
#include <string_view>

#include "rwkv/core/error.hpp"
#include "rwkv/core/tensor.hpp"

RWKV_NAMESPACE_BEGIN

namespace detail {

/// What the tensor is called inside time mixing: "w1" for "blocks.12.att.w1". Empty for all other tensors.
[[nodiscard]] constexpr std::string_view time_mixing_part(std::string_view name) noexcept {
  constexpr std::string_view folder = ".att.";
  const std::size_t position = name.find(folder);
  if (!name.starts_with("blocks.") || position == std::string_view::npos) return "";
  return name.substr(position + folder.size());
}

/// The matrices [n_embd, rank] of the low-rank parts of RWKV-6 and 7, and those back, [rank, n_embd] (`time_maa_w2` is
/// a stack of five). Official files use them as vector times matrix; programs that only know matrix times vector store
/// them transposed.
inline constexpr std::array<std::string_view, 6> low_rank_down{"time_maa_w1", "time_decay_w1", "w1", "a1", "v1", "g1"};
inline constexpr std::array<std::string_view, 6> low_rank_up{"time_maa_w2", "time_decay_w2", "w2", "a2", "v2", "g2"};

[[nodiscard]] constexpr bool is_low_rank_down(std::string_view name) noexcept {
  const std::string_view part = time_mixing_part(name);
  return std::find(low_rank_down.begin(), low_rank_down.end(), part) != low_rank_down.end();
}

/// Whether another program may have stored the tensor of this official name transposed.
[[nodiscard]] constexpr bool is_low_rank(std::string_view name) noexcept {
  const std::string_view part = time_mixing_part(name);
  return is_low_rank_down(name) || std::find(low_rank_up.begin(), low_rank_up.end(), part) != low_rank_up.end();
}

/// In single numbers, which can be transposed.
[[nodiscard]] inline TensorView without_blocks(const TensorView& tensor) {
  if (info(tensor.dtype).block_elements == 1) return tensor;
  const Buffer<float> values = read_all<float>(tensor);
  return make_tensor(tensor.shape, values.span());
}

/// The low-rank matrix as the official files have it, from a file that has it transposed. Blocks become f32.
/// Throws FormatError naming the tensor if it is no matrix.
[[nodiscard]] inline TensorView untransposed(const std::string& path, std::string_view name, const TensorView& tensor) {
  if (tensor.shape.rank() >= 2) return transposed(without_blocks(tensor));
  throw FormatError(
      {.path = path, .item = tensor_item(name), .expected = "a matrix", .found = "shape " + to_string(tensor.shape)});
}

}  // namespace detail

RWKV_NAMESPACE_END
