// SPDX-License-Identifier: MIT
// What readers of foreign names share: lists of names, and tensors that are rows of another.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "rwkv/core/error.hpp"
#include "rwkv/core/tensor.hpp"
#include "rwkv/io/checkpoint.hpp"

RWKV_NAMESPACE_BEGIN

namespace detail {

/// What a program calls a tensor, or a part of that name, and what stands for it in the official name; `*` at the end
/// is the rest of both, "weight" or "bias".
struct Renaming {
  std::string_view stored, official;
};

/// The official name, or "" if none of the list fits.
[[nodiscard]] inline std::string official_name(std::span<const Renaming> names, std::string_view name) {
  for (const auto& [stored, official] : names) {
    if (stored == name) return std::string(official);
    if (!stored.ends_with('*')) continue;
    const std::string_view stem = stored.substr(0, stored.size() - 1);
    if (name.starts_with(stem)) {
      return std::string(official.substr(0, official.size() - 1)) + std::string(name.substr(stem.size()));
    }
  }
  return "";
}

/// Whether the last of the rows may be missing.
enum class LastRow { needed, optional };

/// Adds the rows of a tensor that holds the mixes of several products, [n, n_embd] with any axes of length 1 between,
/// as the tensors `stem` + letter [1, 1, n_embd] of the official files, in place. `name` is what the file calls it.
/// Throws FormatError unless it has a row for each letter.
inline void add_mixes(Checkpoint& official, std::string_view name, const TensorView& tensor, std::string_view stem,
                      std::string_view letters, LastRow last = LastRow::needed) {
  const Shape& shape = tensor.shape;
  const auto most = static_cast<Index>(letters.size());
  const Index n_rows = shape.rank() < 2 ? 0 : shape[0], n_embd = shape.rank() < 2 ? 0 : shape[shape.rank() - 1];
  const bool has_all = n_rows == most || (last == LastRow::optional && n_rows == most - 1);
  if (!has_all || tensor.n_elements() != n_rows * n_embd || info(tensor.dtype).block_elements != 1) {
    throw FormatError({.path = official.path(),
                       .item = tensor_item(name),
                       .expected = std::to_string(most) + " rows of n_embd single numbers",
                       .found = std::string(rwkv::name(tensor.dtype)) + " " + to_string(shape)});
  }
  TensorView row{tensor.dtype, {1, 1, n_embd}, tensor.data, tensor.owner};
  for (const char letter : letters.substr(0, static_cast<std::size_t>(n_rows))) {
    official.add(std::string(stem) + letter, row);
    row.data += row.n_bytes();
  }
}

}  // namespace detail

RWKV_NAMESPACE_END
