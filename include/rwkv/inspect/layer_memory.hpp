// SPDX-License-Identifier: MIT
// What the time mixing of a layer remembers, taken out of a State.
#pragma once

#include <cmath>
#include <cstddef>
#include <string>
#include <vector>

#include "rwkv/arch/config.hpp"
#include "rwkv/core/error.hpp"
#include "rwkv/core/tensor.hpp"
#include "rwkv/state.hpp"

RWKV_NAMESPACE_BEGIN

/// The memory of the heads of one layer.
///
/// RWKV-5 and 6: the matrices S [H, N (key), N (value)]; RWKV-7 and on: S [H, N (value), N (key)]; RWKV-2 to 4, which
/// have no heads: [1, 1, A], the weighted means of the values so far, aa / bb, and 0 before the first token. RWKV-1,
/// and a layer without time mixing (Config::has_ffn_pre), have none.
struct LayerMemory {
  Index n_head = 0, n_rows = 0, n_cols = 0;
  std::vector<float> values = {};  ///< [n_head, n_rows, n_cols]

  /// [n_head]: of each head the root of the sum of squares, the Frobenius norm of its matrix.
  [[nodiscard]] std::vector<double> norms() const {
    std::vector<double> result;
    const auto n = static_cast<std::size_t>(n_rows * n_cols);
    for (std::size_t head = 0; head < static_cast<std::size_t>(n_head); ++head) {
      double sum = 0;
      for (std::size_t i = head * n; i < (head + 1) * n; ++i) sum += static_cast<double>(values[i]) * values[i];
      result.push_back(std::sqrt(sum));
    }
    return result;
  }
};

/// The memory of a layer in a State of a model with this Config; n_head is 0 if it has none.
/// Throws ArgumentError if the State is not of such a model, or has no such layer.
[[nodiscard]] inline LayerMemory layer_memory(const State& state, const Config& config, Index layer) {
  if (config.generation == Generation::v1 || (config.has_ffn_pre && layer == 0)) return {};
  const std::string part = "blocks." + std::to_string(layer) + ".att.";
  const auto check = [&part](Index found, Index expected) {
    if (found == expected) return;
    throw ArgumentError({.item = "State, " + part,
                         .expected = std::to_string(expected) + " numbers, as the Config says",
                         .found = std::to_string(found)});
  };
  if (config.generation >= Generation::v5_0) {
    const auto s = state.tensor(part + "S");
    check(std::ssize(s), config.n_head * config.head_size * config.head_size);
    return {config.n_head, config.head_size, config.head_size, {s.begin(), s.end()}};
  }
  const auto aa = state.tensor(part + "aa"), bb = state.tensor(part + "bb");  // those of RWKV-4 times the same e^pp
  check(std::ssize(aa), config.n_att);
  check(std::ssize(bb), config.n_att);
  LayerMemory memory{1, 1, config.n_att};
  for (std::size_t i = 0; i < aa.size(); ++i) memory.values.push_back(bb[i] > 0 ? aa[i] / bb[i] : 0.0f);
  return memory;
}

RWKV_NAMESPACE_END
