// SPDX-License-Identifier: MIT
// The rows that enter the first layer of a network.
#pragma once

#include <span>

#include "rwkv/arch/builder.hpp"
#include "rwkv/arch/config.hpp"
#include "rwkv/nn/norm.hpp"
#include "rwkv/nn/rows.hpp"

RWKV_NAMESPACE_BEGIN

/// x = LN0(emb[token]). RWKV-1 and 2 have no ln0.
/// All methods are const; share one between threads.
template <class Scalar>
class Embedding {
public:
  /// Takes the tensors emb.weight (in RWKV-1 tok_emb.weight) and blocks.0.ln0.
  explicit Embedding(const Builder& build)
      : has_ln0_(build.config().generation > Generation::v2),
        table_(build.table(build.config().generation == Generation::v1 ? "tok_emb.weight" : "emb.weight",
                           build.config().n_embd)) {
    if (has_ln0_) ln0_ = build.layer_norm<Scalar>("blocks.0.ln0", build.config().n_embd);
  }

  /// x [T, C] from T tokens, each within the vocabulary.
  void apply(std::span<const Token> tokens, MatrixView<Scalar> x, Workspace& workspace) const {
    const KernelTable<Scalar>& kernels = workspace.kernels<Scalar>();
    for_rows(x.n_rows, workspace, [&](Index row) {
      expand_row(table_, tokens[static_cast<std::size_t>(row)], x.row(row), kernels);
      if (has_ln0_) ln0_.apply(x.row(row), x.row(row), kernels);
    });
  }

private:
  bool has_ln0_;
  TensorView table_;
  LayerNorm<Scalar> ln0_;
};

RWKV_NAMESPACE_END
