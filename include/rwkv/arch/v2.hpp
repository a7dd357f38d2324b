// SPDX-License-Identifier: MIT
// The layers of RWKV-2 and RWKV-3: src/model.py and src/model_run.py of RWKV-v2-RNN and RWKV-v3 (BlinkDL/RWKV-LM).
// They are those of RWKV-4 but for the WKV operator; what is particular to RWKV-2 is data, in Block, Network and
// Builder::token_mix.
#pragma once

#include <algorithm>
#include <cmath>

#include "rwkv/arch/batch.hpp"
#include "rwkv/arch/block.hpp"
#include "rwkv/arch/builder.hpp"
#include "rwkv/arch/v4.hpp"

RWKV_NAMESPACE_BEGIN
namespace v2 {

/// The WKV operator with plain exponentials, for every channel by itself:
///
///   y_t = (aa + e^u e^{k_t} v_t) / (bb + e^u e^{k_t} + eps);   aa <- e^w aa + e^{k_t} v_t;   bb <- e^w bb + e^{k_t}
///
/// with w = -e^{time_decay}, u = time_first and k at most 60, which keeps the sums far below what float can hold (e^60
/// is 1e26). eps is 1e-16 in RWKV-2 and 1e-8 in RWKV-3.
///
/// State: the sums `aa`, `bb` [A].
template <class Scalar>
class Wkv {
public:
  /// Takes the tensors time_first, time_decay and adds aa, bb to the State.
  explicit Wkv(const Builder& build)
      : eps_(static_cast<Scalar>(build.config().generation == Generation::v2 ? 1e-16 : 1e-8)),
        bonus_(exponential(build, "time_first", [](double u) { return u; })),
        decay_(exponential(build, "time_decay", [](double rate) { return -std::exp(rate); })),
        aa_(build.state("aa", {build.config().n_att})),
        bb_(build.state("bb", {build.config().n_att})) {}

  /// k and v are [T, A]; the results take the place of v. The States of the batch are updated.
  void apply(MatrixView<const Scalar> k, MatrixView<Scalar> v, const Batch<Scalar>& batch) const {
    constexpr Index grain = 16;  // a cache line
    batch.workspace.threads().run_split(k.n_cols, grain, [&](Range channels, int) {
      for (const Segment<Scalar>& segment : batch.segments) {
        for (Index row = segment.first_row; row < segment.first_row + segment.n_rows; ++row) {
          apply(k.row(row), v.row(row), segment.state + aa_, segment.state + bb_, channels);
        }
      }
    });
  }

private:
  /// One token.
  void apply(const Scalar* k, Scalar* v, Scalar* aa, Scalar* bb, Range channels) const noexcept {
    for (Index c = channels.begin; c < channels.end; ++c) {
      const Scalar e = std::exp(std::min(k[c], Scalar(60))), ev = e * v[c];
      v[c] = (aa[c] + bonus_[c] * ev) / (bb[c] + bonus_[c] * e + eps_);
      aa[c] = decay_[c] * aa[c] + ev;
      bb[c] = decay_[c] * bb[c] + e;
    }
  }

  /// e^function(value) for each channel.
  template <class Function>
  static Buffer<Scalar> exponential(const Builder& build, const char* name, Function function) {
    const Buffer<double> stored = build.vector<double>(name, {build.config().n_att, 1});
    Buffer<Scalar> values(stored.size());
    for (Index i = 0; i < values.size(); ++i) values[i] = static_cast<Scalar>(std::exp(function(stored[i])));
    return values;
  }

  Scalar eps_;
  Buffer<Scalar> bonus_;  // e^u
  Buffer<Scalar> decay_;  // e^w, of a step
  Index aa_, bb_;         // offsets in the State
};

template <class Scalar>
using TimeMix = v4::TimeMix<Scalar, Wkv<Scalar>>;

/// As in RWKV-4.
using v4::ChannelMix;

template <class Scalar>
using Block = rwkv::Block<Scalar, TimeMix<Scalar>, ChannelMix<Scalar>>;

}  // namespace v2
RWKV_NAMESPACE_END
