// SPDX-License-Identifier: MIT
// The residual block that all generations from v3 on share.
#pragma once

#include <utility>

#include "rwkv/nn/norm.hpp"
#include "rwkv/nn/rows.hpp"

RWKV_NAMESPACE_BEGIN

/// x += mixer(LN1(x)), then x += channel_mix(LN2(x)).
///
/// Mixer is a TimeMix in all blocks but the first of `ffnPre` models, where it is a second ChannelMix. A mixer has
/// `apply(x, y, batch) const` for x and y [T, C].
/// All methods are const; share one between threads, give each its own State and Workspace.
template <class Scalar, class Mixer, class ChannelMix>
class Block {
public:
  Block(LayerNorm<Scalar> ln1, Mixer mixer, LayerNorm<Scalar> ln2, ChannelMix channel_mix)
      : ln1_(std::move(ln1)), mixer_(std::move(mixer)), ln2_(std::move(ln2)), channel_mix_(std::move(channel_mix)) {}

  /// x is [T, C], the residual stream; it is updated in place, and so are the States of the batch.
  void apply(MatrixView<Scalar> x, const Batch<Scalar>& batch) const {
    add_mixed(ln1_, mixer_, x, batch);
    add_mixed(ln2_, channel_mix_, x, batch);
  }

private:
  template <class AnyMixer>
  static void add_mixed(const LayerNorm<Scalar>& norm, const AnyMixer& mixer, MatrixView<Scalar> x,
                        const Batch<Scalar>& batch) {
    Workspace& workspace = batch.workspace;
    Workspace::Frame frame(workspace);
    const auto normalised = frame.template matrix<Scalar>(x.n_rows, x.n_cols);
    const auto mixed = frame.template matrix<Scalar>(x.n_rows, x.n_cols);
    norm.apply(x, normalised, workspace);
    mixer.apply(normalised, mixed, batch);
    for_rows(x.n_rows, workspace,
             [&](Index row) { workspace.kernels<Scalar>().add(x.row(row), mixed.row(row), x.n_cols); });
  }

  LayerNorm<Scalar> ln1_;
  Mixer mixer_;
  LayerNorm<Scalar> ln2_;
  ChannelMix channel_mix_;
};

RWKV_NAMESPACE_END
