// SPDX-License-Identifier: MIT
// How many of the hidden units of channel mixing are zero while a model reads.
#pragma once

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <optional>
#include <unordered_map>
#include <vector>

#include "rwkv/arch/config.hpp"
#include "rwkv/arch/detect.hpp"
#include "rwkv/arch/tensor_list.hpp"
#include "rwkv/core/matrix.hpp"
#include "rwkv/core/tensor.hpp"
#include "rwkv/io/checkpoint.hpp"

RWKV_NAMESPACE_BEGIN

/// Counts the inputs of the value matrices of channel mixing, max(k, 0)^2, and those of them that are zero, layer by
/// layer. Made for Workspace::observe_products. Matrices that the model holds as copies (WeightOptions::interleaved)
/// are not counted.
class ZeroShare {
public:
  /// For a model made from this checkpoint, which must live as long as its weights are counted.
  ZeroShare(const Checkpoint& checkpoint, const Config& config) : layers_(static_cast<std::size_t>(config.n_layer)) {
    for (const TensorSpec& spec : tensor_list(config)) {
      const auto name = detail::parse_layer_name(spec.name);
      if (spec.role == TensorRole::sparse && name) layer_of_.emplace(checkpoint.at(spec.name).data, name->layer);
    }
  }

  /// A product of x [T, n_in] with a weight: counted if it is one of these matrices.
  void add(const TensorView& weight, MatrixView<const float> x) {
    const auto found = layer_of_.find(weight.data);
    if (found == layer_of_.end()) return;
    Count& layer = layers_[static_cast<std::size_t>(found->second)];
    layer.n += x.size();
    layer.n_zeros += std::ranges::count(x.span(), 0.0f);
  }

  /// From 0 to 1, of all layers; nothing if nothing was counted: RWKV-1 has no such matrices.
  [[nodiscard]] std::optional<double> all() const {
    return share(std::accumulate(layers_.begin(), layers_.end(), Count{}, [](const Count& a, const Count& b) {
      return Count{a.n + b.n, a.n_zeros + b.n_zeros};
    }));
  }
  /// [n_layer], of each.
  [[nodiscard]] std::vector<std::optional<double>> by_layer() const {
    std::vector<std::optional<double>> shares;
    for (const Count& layer : layers_) shares.push_back(share(layer));
    return shares;
  }

private:
  struct Count {
    Index n = 0, n_zeros = 0;
  };

  [[nodiscard]] static std::optional<double> share(const Count& count) {
    if (count.n == 0) return std::nullopt;
    return static_cast<double>(count.n_zeros) / static_cast<double>(count.n);
  }

  std::unordered_map<const std::byte*, Index> layer_of_;  // by the weights
  std::vector<Count> layers_;
};

RWKV_NAMESPACE_END
