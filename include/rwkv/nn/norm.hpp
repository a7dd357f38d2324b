// SPDX-License-Identifier: MIT
// Layer normalisation.
#pragma once

#include <string>
#include <utility>

#include "rwkv/core/buffer.hpp"
#include "rwkv/core/matrix.hpp"
#include "rwkv/nn/rows.hpp"
#include "rwkv/workspace.hpp"

RWKV_NAMESPACE_BEGIN

/// y = (x - mean) / sqrt(variance + eps) * weight + bias for every row, over its C channels.
///
/// The variance is the biased one (divided by C), as in torch.nn.functional.layer_norm. eps is 1e-5 in every RWKV.
template <class Scalar>
class LayerNorm {
public:
  LayerNorm() = default;
  /// weight and bias are [C]. Throws ArgumentError if their lengths differ.
  LayerNorm(Buffer<Scalar> weight, Buffer<Scalar> bias, Scalar eps = Scalar(1e-5))
      : weight_(std::move(weight)), bias_(std::move(bias)), eps_(eps) {
    if (weight_.size() == bias_.size()) return;
    throw ArgumentError({.item = "layer norm",
                         .expected = std::to_string(weight_.size()) + " biases, as there are weights",
                         .found = std::to_string(bias_.size())});
  }

  [[nodiscard]] Index n_channels() const noexcept { return weight_.size(); }

  /// One row; y may be x.
  void apply(const Scalar* x, Scalar* y, const KernelTable<Scalar>& kernels) const noexcept {
    kernels.layer_norm(x, weight_.data(), bias_.data(), eps_, y, n_channels());
  }

  /// x and y are [T, C]; y may be x. Throws ArgumentError if a size does not fit.
  void apply(MatrixView<const Scalar> x, MatrixView<Scalar> y, Workspace& workspace) const {
    check_shape("x", x, x.n_rows, n_channels());
    check_shape("y", y, x.n_rows, n_channels());
    for_rows(x.n_rows, workspace, [&](Index row) { apply(x.row(row), y.row(row), workspace.kernels<Scalar>()); });
  }

private:
  Buffer<Scalar> weight_;
  Buffer<Scalar> bias_;
  Scalar eps_ = Scalar(1e-5);
};

RWKV_NAMESPACE_END
