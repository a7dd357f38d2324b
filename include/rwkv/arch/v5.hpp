// SPDX-License-Identifier: MIT
// The layers of RWKV-5 ("Eagle", versions 5.0, 5.1 and 5.2): rwkv_pip_package/src/rwkv/model.py (BlinkDL/ChatRWKV) and
// RWKV-v5/src/model.py (BlinkDL/RWKV-LM).
#pragma once

#include <cmath>
#include <optional>

#include "rwkv/arch/batch.hpp"
#include "rwkv/arch/block.hpp"
#include "rwkv/arch/builder.hpp"
#include "rwkv/arch/v4.hpp"
#include "rwkv/arch/wkv5.hpp"
#include "rwkv/nn/linear.hpp"
#include "rwkv/nn/norm.hpp"
#include "rwkv/nn/rows.hpp"

RWKV_NAMESPACE_BEGIN
namespace v5 {

/// y = (group_norm(wkv(w, u, r, k, v)) silu(g)) W_output^T, where r, k, v and g are products of x mixed with its
/// predecessor, each with a mix of its own. The gate g came with 5.1; 5.2 has a decay and a bonus for each channel, the
/// others have one for each head.
///
/// State: the carried row `xx` [C] and the matrices `S` [H, N (key), N (value)] of WKV.
template <class Scalar>
class TimeMix {
public:
  /// Takes the tensors time_decay, time_faaaa (or time_first, its logarithm), ... and adds xx, S to the State, which
  /// begins as time_state where there is one.
  explicit TimeMix(const Builder& build)
      : n_head_(build.config().n_head),
        w_(per_channel(build, "time_decay", [](double decay) { return std::exp(-std::exp(decay)); })),
        u_(build.config().has_time_first ? per_channel(build, "time_first", [](double log) { return std::exp(log); })
                                         : per_channel(build, "time_faaaa", [](double bonus) { return bonus; })),
        mix_k_(build.token_mix<Scalar>("k")),
        mix_v_(build.token_mix<Scalar>("v")),
        mix_r_(build.token_mix<Scalar>("r")),
        key_(build.matrix("key.weight", build.config().n_att, build.config().n_embd)),
        value_(build.matrix("value.weight", build.config().n_att, build.config().n_embd)),
        receptance_(build.matrix("receptance.weight", build.config().n_att, build.config().n_embd)),
        output_(build.matrix("output.weight", build.config().n_embd, build.config().n_att)),
        ln_x_(build.group_norm<Scalar>("ln_x", build.config().n_att, n_head_, build.config().group_norm_eps)),
        xx_(build.state("xx", {build.config().n_embd})),
        s_(build.wkv_state()) {
    if (build.config().generation == Generation::v5_0) return;
    mix_g_ = build.token_mix<Scalar>("g");
    gate_ = build.matrix("gate.weight", build.config().n_att, build.config().n_embd);
  }

  /// x and y are [T, C] and must not overlap; the States of the batch are updated.
  void apply(MatrixView<const Scalar> x, MatrixView<Scalar> y, const Batch<Scalar>& batch) const {
    Workspace& workspace = batch.workspace;
    const KernelTable<Scalar>& kernels = workspace.kernels<Scalar>();
    Workspace::Frame frame(workspace);
    const Index n_att = w_.size();
    const auto matrix = [&](Index n_cols) { return frame.template matrix<Scalar>(x.n_rows, n_cols); };
    const MatrixView<Scalar> xk = matrix(x.n_cols), xv = matrix(x.n_cols), xr = matrix(x.n_cols);
    const MatrixView<Scalar> k = matrix(n_att), v = matrix(n_att), r = matrix(n_att), out = matrix(n_att);
    const MatrixView<Scalar> xg = matrix(gate_ ? x.n_cols : 0), g = matrix(gate_ ? n_att : 0);

    const Mix<Scalar> mixes[]{{mix_k_.data(), xk}, {mix_v_.data(), xv}, {mix_r_.data(), xr}, {mix_g_.data(), xg}};
    token_shift<Scalar>(x, xx_, std::span(mixes, gate_ ? 4 : 3), batch);
    const Product<Scalar> products[]{
        {&key_, xk, k}, {&value_, xv, v}, {&receptance_, xr, r}, {gate_ ? &*gate_ : nullptr, xg, g}};
    multiply<Scalar>(products, workspace);

    const Wkv5Call<Scalar> rows{x.n_rows,  n_head_, n_att / n_head_, r.data,   k.data, v.data,
                                w_.data(), 0,       u_.data(),       out.data, nullptr};
    wkv5<Scalar>(per_sequence(rows, batch, frame, s_), workspace);
    for_rows(x.n_rows, workspace, [&](Index row) {
      ln_x_.apply(out.row(row), out.row(row), kernels);
      if (gate_) kernels.silu_gate(g.row(row), out.row(row), out.row(row), n_att);
    });
    output_.template apply<Scalar>(out, y, workspace);
  }

private:
  /// function(value) for each channel, from a tensor that has a value for each of them, or one for each head.
  template <class Function>
  static Buffer<Scalar> per_channel(const Builder& build, const char* name, Function function) {
    const Index n_head = build.config().n_head;
    const bool is_per_head = build.config().generation != Generation::v5_2;
    const Buffer<double> stored =
        build.vector<double>(name, is_per_head ? Shape{n_head} : Shape{n_head, build.config().head_size});
    Buffer<Scalar> values(build.config().n_att);
    const Index n_each = values.size() / stored.size();
    for (Index i = 0; i < values.size(); ++i) values[i] = static_cast<Scalar>(function(stored[i / n_each]));
    return values;
  }

  Index n_head_;
  Buffer<Scalar> w_;  // decay of a step
  Buffer<Scalar> u_;  // bonus of the current token
  Buffer<Scalar> mix_k_, mix_v_, mix_r_, mix_g_;
  Linear key_, value_, receptance_, output_;
  std::optional<Linear> gate_;
  GroupNorm<Scalar> ln_x_;
  Index xx_, s_;  // offsets in the State
};

/// As in RWKV-4.
using v4::ChannelMix;

template <class Scalar>
using Block = rwkv::Block<Scalar, TimeMix<Scalar>, ChannelMix<Scalar>>;

}  // namespace v5
RWKV_NAMESPACE_END
