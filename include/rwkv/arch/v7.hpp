// SPDX-License-Identifier: MIT
// The layers of RWKV-7 ("Goose", x070): RWKV-v7/rwkv_v7_numpy.py and rwkv_v7_demo.py (BlinkDL/RWKV-LM).
#pragma once

#include <optional>
#include <string>
#include <utility>

#include "rwkv/arch/batch.hpp"
#include "rwkv/arch/block.hpp"
#include "rwkv/arch/builder.hpp"
#include "rwkv/arch/wkv7.hpp"
#include "rwkv/nn/linear.hpp"
#include "rwkv/nn/norm.hpp"
#include "rwkv/nn/rows.hpp"

RWKV_NAMESPACE_BEGIN
namespace v7 {

/// f(x W_1) W_2 with a narrow middle, for a function f that depends on the place.
struct LowRankPair {
  /// Takes the tensors `name`1 [n_embd, width] and `name`2 [width, n_att].
  LowRankPair(const Builder& build, const std::string& name, Index width)
      : down(build.by_input(name + "1", build.config().n_embd, width)),
        up(build.by_input(name + "2", width, build.config().n_att)) {}

  Linear down, up;
};

/// y = ((group_norm(wkv(w, kk, a, r, k, v)) + bonus) g) W_output^T. With z_j for x mixed with its predecessor, by a mix
/// of its own for each j:
///
///   r, k, v = z_r W_r^T, z_k W_k^T, z_v W_v^T             g = sigmoid(z_g g1) g2
///   w = e^{-e^{-1/2} sigmoid(w0 + tanh(z_w w1) w2)}       a = sigmoid(a0 + (z_a a1) a2)
///   v <- v + (v_first - v) sigmoid(v0 + (z_v v1) v2), where v_first is the v of layer 0
///   kk = k k_k, of unit length in each head;  k <- k (1 + (a - 1) k_a)
///   bonus = (sum over the head of r k r_k) v
///
/// State: the carried row `xx` [C] and the matrices `S` [H, N (value), N (key)] of WKV.
template <class Scalar>
class TimeMix {
public:
  /// Takes the tensors x_r, ... and adds xx, S to the State, which begins as time_state where there is one. The one of
  /// layer 0 gives Batch::v_first, and has no v0, v1, v2; the others take it.
  explicit TimeMix(const Builder& build)
      : n_head_(build.config().n_head),
        mix_r_(build.token_mix<Scalar>("r")),
        mix_w_(build.token_mix<Scalar>("w")),
        mix_k_(build.token_mix<Scalar>("k")),
        mix_v_(build.token_mix<Scalar>("v")),
        mix_a_(build.token_mix<Scalar>("a")),
        mix_g_(build.token_mix<Scalar>("g")),
        w0_(channels(build, "w0")),
        a0_(channels(build, "a0")),
        k_k_(channels(build, "k_k")),
        k_a_(channels(build, "k_a")),
        r_k_(build.vector<Scalar>("r_k", {n_head_, build.config().head_size})),
        decay_(build, "w", build.config().low_rank.decay),
        rate_(build, "a", build.config().low_rank.rate),
        receptance_(build.matrix("receptance.weight", build.config().n_att, build.config().n_embd)),
        key_(build.matrix("key.weight", build.config().n_att, build.config().n_embd)),
        value_(build.matrix("value.weight", build.config().n_att, build.config().n_embd)),
        output_(build.matrix("output.weight", build.config().n_embd, build.config().n_att)),
        ln_x_(build.group_norm<Scalar>("ln_x", build.config().n_att, n_head_, build.config().group_norm_eps)),
        xx_(build.state("xx", {build.config().n_embd})),
        s_(build.wkv_state()) {
    if (const Index width = build.config().low_rank.gate; width > 0) gate_.emplace(build, "g", width);
    if (build.layer() > 0) {
      v0_ = channels(build, "v0");
      residual_.emplace(build, "v", build.config().low_rank.value);
    } else {
      for (const char* name : {"v0", "v1", "v2"}) build.ignore(name);  // official files have them all the same
    }
  }

  /// x and y are [T, C] and must not overlap; the States of the batch are updated.
  void apply(MatrixView<const Scalar> x, MatrixView<Scalar> y, const Batch<Scalar>& batch) const {
    Workspace& workspace = batch.workspace;
    Workspace::Frame frame(workspace);
    const Index n_att = w0_.size();
    const auto matrix = [&](Index n_cols) { return frame.template matrix<Scalar>(x.n_rows, n_cols); };
    const MatrixView<Scalar> r = matrix(n_att), w = matrix(n_att), k = matrix(n_att), v = matrix(n_att);
    const MatrixView<Scalar> kk = matrix(n_att), a = matrix(n_att), g = matrix(n_att), out = matrix(n_att);
    project(x, {r, w, k, v, a, g}, batch);

    const KernelTable<Scalar>& kernels = workspace.kernels<Scalar>();
    const Index n = n_att / n_head_;
    for_rows(x.n_rows, workspace, [&](Index row) {
      for (Index i = 0; i < n_att; i += n) {
        kernels.keys7(k.row(row) + i, a.row(row) + i, k_k_.data() + i, k_a_.data() + i, kk.row(row) + i, n);
      }
    });
    const Wkv7Call<Scalar> rows{x.n_rows, n_head_, n,      r.data,   w.data, k.data,
                                v.data,   kk.data, a.data, out.data, nullptr};
    wkv7<Scalar>(per_sequence(rows, batch, frame, s_), workspace);
    for_rows(x.n_rows, workspace, [&](Index row) {
      ln_x_.apply(out.row(row), out.row(row), kernels);
      for (Index i = 0; i < n_att; i += n) {
        kernels.bonus7(r.row(row) + i, k.row(row) + i, r_k_.data() + i, v.row(row) + i, out.row(row) + i, n);
      }
      if (gate_) kernels.multiply(out.row(row), g.row(row), n_att);
    });
    output_.template apply<Scalar>(out, y, workspace);
  }

private:
  /// What x is projected to, [T, A] each.
  struct Projections {
    MatrixView<Scalar> r, w, k, v, a, g;
  };

  static Buffer<Scalar> channels(const Builder& build, const char* name) {
    return build.vector<Scalar>(name, {1, 1, build.config().n_att});
  }

  /// Fills r, k, g; w with decays, a with learning rates, v with its residual.
  void project(MatrixView<const Scalar> x, const Projections& to, const Batch<Scalar>& batch) const {
    Workspace& workspace = batch.workspace;
    const KernelTable<Scalar>& kernels = workspace.kernels<Scalar>();
    Workspace::Frame frame(workspace);
    const Index n_att = w0_.size();
    const auto matrix = [&](Index n_cols) { return frame.template matrix<Scalar>(x.n_rows, n_cols); };
    const auto width = [](const std::optional<LowRankPair>& pair) { return pair ? pair->down.n_out() : 0; };
    const MatrixView<Scalar> xr = matrix(x.n_cols), xw = matrix(x.n_cols), xk = matrix(x.n_cols);
    const MatrixView<Scalar> xv = matrix(x.n_cols), xa = matrix(x.n_cols), xg = matrix(x.n_cols);
    const MatrixView<Scalar> low_w = matrix(decay_.down.n_out()), low_a = matrix(rate_.down.n_out());
    const MatrixView<Scalar> low_v = matrix(width(residual_)), low_g = matrix(width(gate_));
    const MatrixView<Scalar> share = matrix(residual_ ? n_att : 0);

    const Mix<Scalar> mixes[]{{mix_r_.data(), xr}, {mix_w_.data(), xw}, {mix_k_.data(), xk},
                              {mix_v_.data(), xv}, {mix_a_.data(), xa}, {mix_g_.data(), xg}};
    token_shift<Scalar>(x, xx_, mixes, batch);

    const Product<Scalar> downs[]{{&receptance_, xr, to.r},
                                  {&key_, xk, to.k},
                                  {&value_, xv, to.v},
                                  {&decay_.down, xw, low_w},
                                  {&rate_.down, xa, low_a},
                                  {residual_ ? &residual_->down : nullptr, xv, low_v},
                                  {gate_ ? &gate_->down : nullptr, xg, low_g}};
    multiply<Scalar>(downs, workspace);
    for_rows(x.n_rows, workspace, [&](Index row) {
      kernels.tanh(low_w.row(row), low_w.n_cols);
      kernels.sigmoid(low_g.row(row), nullptr, low_g.n_cols);
    });
    const Product<Scalar> ups[]{{&decay_.up, low_w, to.w},
                                {&rate_.up, low_a, to.a},
                                {residual_ ? &residual_->up : nullptr, low_v, share},
                                {gate_ ? &gate_->up : nullptr, low_g, to.g}};
    multiply<Scalar>(ups, workspace);
    for_rows(x.n_rows, workspace, [&](Index row) {
      kernels.decay7(to.w.row(row), w0_.data(), n_att);
      kernels.sigmoid(to.a.row(row), a0_.data(), n_att);
      if (!residual_) {
        std::copy_n(to.v.row(row), n_att, batch.v_first.row(row));
      } else {
        kernels.sigmoid(share.row(row), v0_.data(), n_att);
        kernels.mix(batch.v_first.row(row), to.v.row(row), share.row(row), to.v.row(row), n_att);
      }
    });
  }

  Index n_head_;
  Buffer<Scalar> mix_r_, mix_w_, mix_k_, mix_v_, mix_a_, mix_g_;
  Buffer<Scalar> w0_, a0_, k_k_, k_a_, r_k_, v0_;
  LowRankPair decay_, rate_;
  std::optional<LowRankPair> residual_, gate_;
  Linear receptance_, key_, value_, output_;
  GroupNorm<Scalar> ln_x_;
  Index xx_, s_;  // offsets in the State
};

/// y = max(k, 0)^2 W_value^T, where k is a product of x mixed with its predecessor.
///
/// State: the carried row `xx` [C].
template <class Scalar>
class ChannelMix {
public:
  /// Takes the tensors x_k, ... and adds xx to the State.
  explicit ChannelMix(const Builder& build)
      : mix_k_(build.token_mix<Scalar>("k")),
        key_(build.matrix("key.weight", build.config().n_ffn, build.config().n_embd)),
        value_(build.sparse_matrix("value.weight", build.config().n_embd, build.config().n_ffn)),
        xx_(build.state("xx", {build.config().n_embd})) {}

  /// x and y are [T, C] and must not overlap; the States of the batch are updated.
  void apply(MatrixView<const Scalar> x, MatrixView<Scalar> y, const Batch<Scalar>& batch) const {
    apply(x, y, batch, [](MatrixView<Scalar>) {});
  }

  /// The same with something done to the hidden units [T, F] before they meet W_value: the way of the variants.
  template <class Function>
  void apply(MatrixView<const Scalar> x, MatrixView<Scalar> y, const Batch<Scalar>& batch, Function&& change) const {
    Workspace& workspace = batch.workspace;
    Workspace::Frame frame(workspace);
    const auto xk = frame.template matrix<Scalar>(x.n_rows, x.n_cols);
    const auto k = frame.template matrix<Scalar>(x.n_rows, key_.n_out());
    const Mix<Scalar> mixes[]{{mix_k_.data(), xk}};
    token_shift<Scalar>(x, xx_, mixes, batch);
    key_.template apply<Scalar>(xk, k, workspace);
    for_rows(x.n_rows, workspace, [&](Index row) { workspace.kernels<Scalar>().relu_squared(k.row(row), k.n_cols); });
    change(k);
    value_.template apply<Scalar>(k, y, workspace);
  }

private:
  Buffer<Scalar> mix_k_;
  Linear key_, value_;
  Index xx_;  // offset in the State
};

template <class Scalar>
using Block = rwkv::Block<Scalar, TimeMix<Scalar>, ChannelMix<Scalar>>;

}  // namespace v7
RWKV_NAMESPACE_END
