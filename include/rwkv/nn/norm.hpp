// SPDX-License-Identifier: MIT
// Layer normalisation, and normalisation of each head.
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

/// The same for each of n_groups equal parts of a row by itself; weight and bias are those of all parts, [C].
///
/// RWKV-5 and later apply it to the outputs of the heads: rwkv_v7_numpy.py, group_norm (BlinkDL/RWKV-LM). For eps see
/// Config::group_norm_eps.
template <class Scalar>
class GroupNorm {
public:
  GroupNorm() = default;
  /// Throws ArgumentError if the lengths differ or are not a multiple of n_groups.
  GroupNorm(Buffer<Scalar> weight, Buffer<Scalar> bias, Index n_groups, Scalar eps)
      : weight_(std::move(weight)), bias_(std::move(bias)), n_groups_(n_groups), eps_(eps) {
    if (n_groups > 0 && weight_.size() == bias_.size() && weight_.size() % n_groups == 0) return;
    throw ArgumentError({.item = "group norm",
                         .expected = "as many weights as biases, a multiple of " + std::to_string(n_groups),
                         .found = std::to_string(weight_.size()) + " and " + std::to_string(bias_.size())});
  }

  [[nodiscard]] Index n_channels() const noexcept { return weight_.size(); }

  /// One row; y may be x.
  void apply(const Scalar* x, Scalar* y, const KernelTable<Scalar>& kernels) const noexcept {
    const Index n = weight_.size() / n_groups_;
    for (Index i = 0; i < weight_.size(); i += n) {
      kernels.layer_norm(x + i, weight_.data() + i, bias_.data() + i, eps_, y + i, n);
    }
  }

private:
  Buffer<Scalar> weight_;
  Buffer<Scalar> bias_;
  Index n_groups_ = 1;
  Scalar eps_ = Scalar(64e-5);
};

RWKV_NAMESPACE_END
