// SPDX-License-Identifier: MIT
// The frame around the layers that all generations from v3 on share: embedding, ln0, layers, ln_out, head.
#pragma once

#include <span>
#include <vector>

#include "rwkv/arch/config.hpp"
#include "rwkv/arch/tensor_source.hpp"
#include "rwkv/nn/linear.hpp"
#include "rwkv/nn/norm.hpp"
#include "rwkv/nn/rows.hpp"
#include "rwkv/state.hpp"

RWKV_NAMESPACE_BEGIN

/// x = LN0(emb[token]); x = layer(x) for every layer; logits = LN_out(x) head^T.
///
/// Layer is v4::Layer<Scalar> or its like of another generation. All methods are const; share one between threads.
template <class Scalar, class Layer>
class Network {
public:
  /// Throws ModelError naming the tensor if one is missing or has the wrong shape.
  Network(TensorSource& source, const Config& config, StateLayout& layout)
      : embedding_(source.embedding("emb.weight", config.n_vocab, config.n_embd)),
        ln0_(source.layer_norm<Scalar>("blocks.0.ln0", config.n_embd)) {
    layers_.reserve(static_cast<std::size_t>(config.n_layer));
    for (Index i = 0; i < config.n_layer; ++i) layers_.emplace_back(source, config, i, layout);
    ln_out_ = source.layer_norm<Scalar>("ln_out", config.n_embd);
    head_ = source.matrix("head.weight", config.n_vocab, config.n_embd);
  }

  /// x [T, C] from T tokens, each within the vocabulary.
  void embed(std::span<const Token> tokens, MatrixView<Scalar> x, Workspace& workspace) const {
    const KernelTable<Scalar>& kernels = workspace.kernels<Scalar>();
    const auto slot = static_cast<std::size_t>(embedding_.dtype);
    const Index row_bytes = embedding_.n_bytes() / embedding_.shape[0];
    for_rows(x.n_rows, workspace, [&](Index row) {
      const Index token = tokens[static_cast<std::size_t>(row)];
      kernels.expand[slot](embedding_.data + token * row_bytes, x.n_cols, x.row(row));
      ln0_.apply(x.row(row), x.row(row), kernels);
    });
  }

  /// Layers [first, last) on the residual stream x [T, C].
  void apply_layers(Index first, Index last, MatrixView<Scalar> x, const Batch<Scalar>& batch) const {
    for (Index i = first; i < last; ++i) layers_[static_cast<std::size_t>(i)].apply(x, batch);
  }

  /// logits [T, V] from the residual stream after the last layer.
  void apply_head(MatrixView<const Scalar> x, MatrixView<Scalar> logits, Workspace& workspace) const {
    Workspace::Frame frame(workspace);
    const auto normalised = frame.template matrix<Scalar>(x.n_rows, x.n_cols);
    ln_out_.apply(x, normalised, workspace);
    head_.template apply<Scalar>(normalised, logits, workspace);
  }

private:
  TensorView embedding_;
  LayerNorm<Scalar> ln0_;
  std::vector<Layer> layers_;
  LayerNorm<Scalar> ln_out_;
  Linear head_;
};

RWKV_NAMESPACE_END
