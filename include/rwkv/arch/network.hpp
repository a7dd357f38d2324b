// SPDX-License-Identifier: MIT
// The frame around the layers that all generations from RWKV-2 on share: embedding, ln0, layers, ln_out, head.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "rwkv/arch/builder.hpp"
#include "rwkv/arch/config.hpp"
#include "rwkv/arch/copy_head.hpp"
#include "rwkv/nn/linear.hpp"
#include "rwkv/nn/norm.hpp"
#include "rwkv/nn/rows.hpp"

RWKV_NAMESPACE_BEGIN

/// x = LN0(emb[token]); x = layer(x) for every layer; logits = LN_out(x) head^T. RWKV-2 has no ln0.
///
/// Layer is v4::Layer<Scalar> or its like of another generation. All methods are const; share one between threads.
template <class Scalar, class Layer>
class Network {
public:
  /// Throws ModelError naming the tensor if one is missing or has the wrong shape.
  explicit Network(const Builder& build)
      : has_ln0_(build.config().generation != Generation::v2),
        embedding_(build.table("emb.weight", build.config().n_embd)) {
    if (has_ln0_) ln0_ = build.layer_norm<Scalar>("blocks.0.ln0", build.config().n_embd);
    for (Index i = 0; i < build.config().n_layer; ++i) layers_.push_back(std::make_unique<const Layer>(build.layer(i)));
    ln_out_ = build.layer_norm<Scalar>("ln_out", build.config().n_embd);
    head_ = build.matrix("head.weight", build.config().n_vocab, build.config().n_embd);
    if (build.config().n_copy > 0) copy_head_.emplace(build);
  }

  /// x [T, C] from T tokens, each within the vocabulary.
  void embed(std::span<const Token> tokens, MatrixView<Scalar> x, Workspace& workspace) const {
    const KernelTable<Scalar>& kernels = workspace.kernels<Scalar>();
    for_rows(x.n_rows, workspace, [&](Index row) {
      expand_row(embedding_, tokens[static_cast<std::size_t>(row)], x.row(row), kernels);
      if (has_ln0_) ln0_.apply(x.row(row), x.row(row), kernels);
    });
  }

  /// Layers [first, last) on the residual stream x [T, C].
  void apply_layers(Index first, Index last, MatrixView<Scalar> x, const Batch<Scalar>& batch) const {
    for (Index i = first; i < last; ++i) layers_[static_cast<std::size_t>(i)]->apply(x, batch);
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
  bool has_ln0_;
  TensorView embedding_;
  LayerNorm<Scalar> ln0_;
  std::vector<std::unique_ptr<const Layer>> layers_;
  LayerNorm<Scalar> ln_out_;
  Linear head_;
  std::optional<CopyHead<Scalar>> copy_head_;
};

RWKV_NAMESPACE_END
