// SPDX-License-Identifier: MIT
// The copy head of RWKV-1 to 4: it raises the logits of tokens that were read in places that resemble this one.
#pragma once

#include <algorithm>
#include <span>
#include <string>

#include "rwkv/arch/batch.hpp"
#include "rwkv/arch/builder.hpp"
#include "rwkv/nn/linear.hpp"

RWKV_NAMESPACE_BEGIN

/// logits_t[token_i] += (q_t . k_i) / D for every token i among the last n_ctx up to t itself, with q = x W_q^T and
/// k = x W_k^T of D values: RWKV-v2-RNN/src/model.py and RWKV-v3/src/model.py, head_q and head_k (BlinkDL/RWKV-LM).
///
/// State: `head_k` [n_ctx, D], the k of these tokens, and `head_tokens` [n_ctx], as a ring: that of position p is in
/// row p mod n_ctx.
template <class Scalar>
class CopyHead {
public:
  /// Takes the tensors head_q.weight and head_k.weight, in RWKV-1 with biases.
  explicit CopyHead(const Builder& build)
      : n_ctx_(build.config().n_ctx),
        query_(projection(build, "head_q")),
        key_(projection(build, "head_k")),
        keys_(build.state("head_k", {n_ctx_, build.config().n_copy})),
        tokens_(build.state("head_tokens", {n_ctx_}, 0, build.config().n_vocab)) {}

  /// Adds to logits [n, V] of the rows `wanted` of x [T, C], the normalised output of the last layer, and remembers all
  /// rows.
  void apply(MatrixView<const Scalar> x, std::span<const Index> wanted, MatrixView<Scalar> logits,
             const Batch<Scalar>& batch) const {
    Workspace& workspace = batch.workspace;
    Workspace::Frame frame(workspace);
    const Index n = key_.n_out();
    const auto k = frame.template matrix<Scalar>(x.n_rows, n), q = frame.template matrix<Scalar>(x.n_rows, n);
    const Product<Scalar> products[]{{&query_, x, q}, {&key_, x, k}};
    multiply<Scalar>(products, workspace);
    Index n_done = 0;
    for (const Segment<Scalar>& segment : batch.segments) {
      for (Index i = 0; i < segment.n_rows; ++i) {
        const Index row = segment.first_row + i, position = segment.position + i;
        std::copy_n(k.row(row), n, segment.state + keys_ + position % n_ctx_ * n);
        segment.state[tokens_ + position % n_ctx_] = static_cast<Scalar>(batch.tokens[static_cast<std::size_t>(row)]);
        if (n_done == logits.n_rows || wanted[static_cast<std::size_t>(n_done)] != row) continue;
        add_scores(q.row(row), segment.state, std::min(position + 1, n_ctx_), logits.row(n_done++));
      }
    }
  }

private:
  void add_scores(const Scalar* q, const Scalar* state, Index n_remembered, Scalar* logits) const {
    const Index n = key_.n_out();
    for (Index slot = 0; slot < n_remembered; ++slot) {
      const Scalar* const k = state + keys_ + slot * n;
      Scalar score = 0;
      for (Index c = 0; c < n; ++c) score += q[c] * k[c];
      logits[static_cast<Index>(state[tokens_ + slot])] += score / static_cast<Scalar>(n);
    }
  }

  static Linear projection(const Builder& build, const char* name) {
    const Index n_copy = build.config().n_copy, n_embd = build.config().n_embd;
    if (build.config().generation == Generation::v1) return build.biased(name, n_copy, n_embd);
    return build.matrix(std::string(name) + ".weight", n_copy, n_embd);
  }

  Index n_ctx_;
  Linear query_, key_;
  Index keys_, tokens_;  // offsets in the State
};

RWKV_NAMESPACE_END
