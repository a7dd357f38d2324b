// SPDX-License-Identifier: MIT
// The frame around the layers that all generations share: embedding, layers, ln_out, head.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "rwkv/arch/batch.hpp"
#include "rwkv/arch/builder.hpp"
#include "rwkv/arch/copy_head.hpp"
#include "rwkv/arch/embedding.hpp"
#include "rwkv/arch/layers.hpp"
#include "rwkv/nn/linear.hpp"
#include "rwkv/nn/norm.hpp"
#include "rwkv/nn/rows.hpp"

RWKV_NAMESPACE_BEGIN

/// x = embedding(token); x = layer(x) for every layer; y = LN_out(x); logits = y head^T, to which a copy head adds what
/// it makes of y. In RWKV-1, logits_t = (time_out_t y_t) head^T.
///
/// All methods are const; share one between threads.
template <class Scalar>
class Network {
public:
  /// Throws ModelError naming the tensor if one is missing or has the wrong shape. For a Config that passes check().
  explicit Network(const Builder& build) : embedding_(build) {
    const Config& config = build.config();
    for (Index i = 0; i < config.n_layer; ++i) layers_.push_back(make_layer<Scalar>(build.layer(i)));
    ln_out_ = build.layer_norm<Scalar>(config.generation == Generation::v1 ? "ln_f" : "ln_out", config.n_embd);
    head_ = build.matrix("head.weight", config.n_vocab, config.n_embd);
    if (config.has_time_out) time_out_ = build.vector<Scalar>("time_out", {1, config.n_ctx, 1});
    if (config.n_copy > 0) copy_head_.emplace(build);
  }

  [[nodiscard]] const Embedding<Scalar>& embedding() const noexcept { return embedding_; }

  /// Layers [first, last) on the residual stream x [T, C].
  void apply_layers(Index first, Index last, MatrixView<Scalar> x, const Batch<Scalar>& batch) const {
    for (Index i = first; i < last; ++i) layers_[static_cast<std::size_t>(i)]->apply(x, batch);
  }

  /// logits [n, V] of the rows `wanted`, n of them in ascending order, from the residual stream x [T, C] after the last
  /// layer.
  void apply_head(MatrixView<const Scalar> x, std::span<const Index> wanted, MatrixView<Scalar> logits,
                  const Batch<Scalar>& batch) const {
    Workspace& workspace = batch.workspace;
    Workspace::Frame frame(workspace);
    if (copy_head_) {  // remembers something of every row
      const auto y = frame.template matrix<Scalar>(x.n_rows, x.n_cols);
      ln_out_.apply(x, y, workspace);
      apply_head_to(gather_rows<Scalar>(y, wanted, frame), wanted, logits, batch);
      copy_head_->apply(y, wanted, logits, batch);
    } else {
      const MatrixView<Scalar> y = gather_rows<Scalar>(x, wanted, frame);
      ln_out_.apply(y, y, workspace);
      apply_head_to(y, wanted, logits, batch);
    }
  }

  /// In place of apply_head, for who wants no logits: y [n, C] of the rows `wanted`. A copy head remembers all rows.
  void apply_norm(MatrixView<const Scalar> x, std::span<const Index> wanted, MatrixView<Scalar> y,
                  const Batch<Scalar>& batch) const {
    Workspace& workspace = batch.workspace;
    Workspace::Frame frame(workspace);
    if (copy_head_) {
      const auto all = frame.template matrix<Scalar>(x.n_rows, x.n_cols);
      ln_out_.apply(x, all, workspace);
      copy_head_->apply(all, {}, {}, batch);
    }
    ln_out_.apply(gather_rows<Scalar>(x, wanted, frame), y, workspace);
  }

private:
  /// y [n, C], the rows `wanted`, is changed.
  void apply_head_to(MatrixView<Scalar> y, std::span<const Index> wanted, MatrixView<Scalar> logits,
                     const Batch<Scalar>& batch) const {
    if (time_out_.size() > 0) scale_by_position(y, wanted, batch);
    head_.template apply<Scalar>(y, logits, batch.workspace);
  }

  void scale_by_position(MatrixView<Scalar> y, std::span<const Index> wanted, const Batch<Scalar>& batch) const {
    std::size_t i = 0;
    for (const Segment<Scalar>& segment : batch.segments) {
      for (; i < wanted.size() && wanted[i] < segment.first_row + segment.n_rows; ++i) {
        const Scalar factor = time_out_[segment.position + wanted[i] - segment.first_row];
        for (Scalar& value : y.rows(static_cast<Index>(i), 1).span()) value *= factor;
      }
    }
  }

  Embedding<Scalar> embedding_;
  std::vector<std::unique_ptr<const Layer<Scalar>>> layers_;
  LayerNorm<Scalar> ln_out_;
  Linear head_;
  Buffer<Scalar> time_out_;  // RWKV-1: a factor for each position; empty if there is none
  std::optional<CopyHead<Scalar>> copy_head_;
};

/// Throws ModelError naming the tensor if one is missing or has the wrong shape, ArgumentError for a Config that no
/// model has.
template <class Scalar>
[[nodiscard]] Network<Scalar> make_network(const Builder& build) {
  check(build.config());
  return Network<Scalar>(build);
}

RWKV_NAMESPACE_END
