// SPDX-License-Identifier: MIT
// What a layer is, and the residual block that all generations share.
#pragma once

#include <algorithm>
#include <string_view>
#include <utility>

#include "rwkv/arch/batch.hpp"
#include "rwkv/arch/builder.hpp"
#include "rwkv/core/function_ref.hpp"
#include "rwkv/nn/norm.hpp"
#include "rwkv/nn/rows.hpp"

RWKV_NAMESPACE_BEGIN

/// A layer of any generation.
/// All methods are const; share one between threads, give each its own State and Workspace.
template <class Scalar>
class Layer {
public:
  virtual ~Layer() = default;

  /// x is [T, C], the residual stream; it is updated in place, and so are the States of the batch.
  virtual void apply(MatrixView<Scalar> x, const Batch<Scalar>& batch) const = 0;
};

namespace detail {

/// x += mix(norm(x)); with goes_on_from_normalised x = norm(x), x += mix(x). `mix` takes its arguments as mixers do.
template <class Scalar>
void add_mixed(MatrixView<Scalar> x, const LayerNorm<Scalar>& norm, bool goes_on_from_normalised, Workspace& workspace,
               FunctionRef<void(MatrixView<const Scalar>, MatrixView<Scalar>)> mix) {
  Workspace::Frame frame(workspace);
  const auto normalised = frame.template matrix<Scalar>(x.n_rows, x.n_cols);
  const auto mixed = frame.template matrix<Scalar>(x.n_rows, x.n_cols);
  norm.apply(x, normalised, workspace);
  if (goes_on_from_normalised) std::copy_n(normalised.data, x.size(), x.data);
  mix(normalised, mixed);
  for_rows(x.n_rows, workspace,
           [&](Index row) { workspace.kernels<Scalar>().add(x.row(row), mixed.row(row), x.n_cols); });
}

}  // namespace detail

/// x += mixer(LN1(x)), then x += channel_mix(LN2(x)). In RWKV-2 x goes on from what is normalised instead:
/// x = LN1(x), x += mixer(x), x = LN2(x), x += channel_mix(x).
///
/// Mixer is a TimeMix in all blocks but the first of `ffnPre` models, where it is a second ChannelMix. A mixer is made
/// from a Builder and has `apply(x, y, batch) const` for x and y [T, C].
template <class Scalar, class Mixer, class ChannelMix>
class Block final : public Layer<Scalar> {
public:
  /// Takes ln1.weight, ..., those of the mixer ("att.key.weight", ...), and those of the channel mix ("ffn.", ...).
  explicit Block(const Builder& build, std::string_view mixer = "att.", std::string_view channel_mix = "ffn.")
      : goes_on_from_normalised_(build.config().generation == Generation::v2),
        ln1_(build.layer_norm<Scalar>("ln1", build.config().n_embd)),
        mixer_(build.at(mixer)),
        ln2_(build.layer_norm<Scalar>("ln2", build.config().n_embd)),
        channel_mix_(build.at(channel_mix)) {}

  void apply(MatrixView<Scalar> x, const Batch<Scalar>& batch) const override {
    apply(x, batch, [] {});
  }

  /// The same with something done between the two: the way of RWKV-7b.
  void apply(MatrixView<Scalar> x, const Batch<Scalar>& batch, FunctionRef<void()> between) const {
    const auto add = [&](const LayerNorm<Scalar>& norm, const auto& mixer) {
      const auto mix = [&](MatrixView<const Scalar> from, MatrixView<Scalar> to) { mixer.apply(from, to, batch); };
      detail::add_mixed<Scalar>(x, norm, goes_on_from_normalised_, batch.workspace, mix);
    };
    add(ln1_, mixer_);
    between();
    add(ln2_, channel_mix_);
  }

private:
  bool goes_on_from_normalised_;
  LayerNorm<Scalar> ln1_;
  Mixer mixer_;
  LayerNorm<Scalar> ln2_;
  ChannelMix channel_mix_;
};

RWKV_NAMESPACE_END
