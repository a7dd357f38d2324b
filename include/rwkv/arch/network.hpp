// SPDX-License-Identifier: MIT
// The frame around the layers that all generations from RWKV-2 on share: embedding, layers, ln_out, head.
#pragma once

#include <optional>
#include <span>
#include <variant>

#include "rwkv/arch/builder.hpp"
#include "rwkv/arch/copy_head.hpp"
#include "rwkv/arch/embedding.hpp"
#include "rwkv/arch/layers.hpp"
#include "rwkv/nn/linear.hpp"
#include "rwkv/nn/norm.hpp"
#include "rwkv/nn/rows.hpp"

RWKV_NAMESPACE_BEGIN

/// x = embedding(token); x = layer(x) for every layer; logits = LN_out(x) head^T.
///
/// All methods are const; share one between threads.
template <class Scalar>
class Network {
public:
  /// Throws ModelError naming the tensor if one is missing or has the wrong shape.
  explicit Network(const Builder& build)
      : embedding_(build),
        layers_(make_layers<Scalar>(build)),
        ln_out_(build.layer_norm<Scalar>("ln_out", build.config().n_embd)),
        head_(build.matrix("head.weight", build.config().n_vocab, build.config().n_embd)) {
    if (build.config().n_copy > 0) copy_head_.emplace(build);
  }

  [[nodiscard]] const Embedding<Scalar>& embedding() const noexcept { return embedding_; }

  /// Layers [first, last) on the residual stream x [T, C].
  void apply_layers(Index first, Index last, MatrixView<Scalar> x, const Batch<Scalar>& batch) const {
    const auto apply = [&](const auto& layers) {
      for (Index i = first; i < last; ++i) layers[static_cast<std::size_t>(i)]->apply(x, batch);
    };
    std::visit(apply, layers_);
  }

  /// logits [n, V] of the rows `wanted`, n of them in ascending order, from the residual stream x [T, C] after the last
  /// layer.
  void apply_head(MatrixView<const Scalar> x, std::span<const Index> wanted, MatrixView<Scalar> logits,
                  const Batch<Scalar>& batch) const {
    Workspace::Frame frame(batch.workspace);
    if (copy_head_) {
      const auto all = frame.template matrix<Scalar>(x.n_rows, x.n_cols);
      ln_out_.apply(x, all, batch.workspace);
      head_.template apply<Scalar>(gather_rows<Scalar>(all, wanted, frame), logits, batch.workspace);
      copy_head_->apply(all, wanted, logits, batch);
    } else if (!wanted.empty()) {
      const MatrixView<Scalar> rows = gather_rows<Scalar>(x, wanted, frame);
      ln_out_.apply(rows, rows, batch.workspace);
      head_.template apply<Scalar>(rows, logits, batch.workspace);
    }
  }

private:
  Embedding<Scalar> embedding_;
  AnyLayers<Scalar> layers_;
  LayerNorm<Scalar> ln_out_;
  Linear head_;
  std::optional<CopyHead<Scalar>> copy_head_;
};

RWKV_NAMESPACE_END
