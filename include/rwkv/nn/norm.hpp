// SPDX-License-Identifier: MIT
// Layer normalisation.
#pragma once

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
  /// weight and bias are [C].
  LayerNorm(Buffer<Scalar> weight, Buffer<Scalar> bias, Scalar eps = Scalar(1e-5))
      : weight_(std::move(weight)), bias_(std::move(bias)), eps_(eps) {
    RWKV_ASSERT(weight_.size() == bias_.size());
  }

  [[nodiscard]] Index n_channels() const noexcept { return weight_.size(); }

  /// One row; y may be x.
  void apply(const Scalar* x, Scalar* y, const KernelTable<Scalar>& kernels) const noexcept {
    kernels.layer_norm(x, weight_.data(), bias_.data(), eps_, y, n_channels());
  }

  /// x and y are [T, C]; y may be x.
  void apply(MatrixView<const Scalar> x, MatrixView<Scalar> y, Workspace& workspace) const {
    RWKV_ASSERT(x.n_cols == n_channels() && y.n_cols == n_channels() && x.n_rows == y.n_rows);
    for_rows(x.n_rows, workspace, [&](Index row) { apply(x.row(row), y.row(row), workspace.kernels<Scalar>()); });
  }

private:
  Buffer<Scalar> weight_;
  Buffer<Scalar> bias_;
  Scalar eps_ = Scalar(1e-5);
};

RWKV_NAMESPACE_END
