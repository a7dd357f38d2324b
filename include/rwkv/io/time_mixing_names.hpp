// SPDX-License-Identifier: MIT
// Tensor names of time mixing, as far as other programs store such tensors in another form than the official files.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>
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

/// Matrices [n_embd, rank] of the low-rank parts of RWKV-7, and [rank, n_embd]. Both are used as vector times matrix;
/// programs that only know matrix times vector store them transposed.
inline constexpr std::array<std::string_view, 4> v7_low_rank_down{"w1", "a1", "v1", "g1"};
inline constexpr std::array<std::string_view, 4> v7_low_rank_up{"w2", "a2", "v2", "g2"};
/// The same of RWKV-6; `time_maa_w2` is a stack of five matrices.
inline constexpr std::array<std::string_view, 4> v6_low_rank{"time_maa_w1", "time_maa_w2", "time_decay_w1",
                                                             "time_decay_w2"};

[[nodiscard]] constexpr bool is_one_of(std::string_view part, std::span<const std::string_view> parts) noexcept {
  return std::find(parts.begin(), parts.end(), part) != parts.end();
}

/// Whether another program may have stored the tensor of this official name transposed.
[[nodiscard]] constexpr bool is_low_rank(std::string_view name) noexcept {
  const std::string_view part = time_mixing_part(name);
  return is_one_of(part, v7_low_rank_down) || is_one_of(part, v7_low_rank_up) || is_one_of(part, v6_low_rank);
}

/// The low-rank matrix as the official files have it, from a file that has it transposed.
/// Throws FormatError naming the tensor if it is no matrix.
[[nodiscard]] inline TensorView untransposed(const std::string& path, std::string_view name, const TensorView& tensor) {
  if (tensor.shape.rank() >= 2) return transposed(tensor);
  throw FormatError(
      {.path = path, .item = tensor_item(name), .expected = "a matrix", .found = "shape " + to_string(tensor.shape)});
}

}  // namespace detail

RWKV_NAMESPACE_END
