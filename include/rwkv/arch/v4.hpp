// SPDX-License-Identifier: MIT
// The layers of RWKV-4: rwkv_pip_package/src/rwkv/model.py (BlinkDL/ChatRWKV) and RWKV-v4neo/src/model.py
// (BlinkDL/RWKV-LM).
#pragma once

#include <cmath>

#include "rwkv/arch/batch.hpp"
#include "rwkv/arch/block.hpp"
#include "rwkv/arch/builder.hpp"
#include "rwkv/arch/wkv4.hpp"
#include "rwkv/nn/linear.hpp"
#include "rwkv/nn/rows.hpp"

RWKV_NAMESPACE_BEGIN
namespace v4 {

/// The WKV operator over the sequences of a batch: see arch/wkv4.hpp.
///
/// State: the sums `aa`, `bb`, `pp` [A].
template <class Scalar>
class Wkv {
public:
  /// Takes the tensors time_first, time_decay and adds aa, bb, pp to the State.
  explicit Wkv(const Builder& build)
      : w_(build.config().n_att),
        u_(build.vector<Scalar>("time_first", {build.config().n_att})),
        aa_(build.state("aa", {build.config().n_att})),
        bb_(build.state("bb", {build.config().n_att})),
        pp_(build.state("pp", {build.config().n_att}, wkv_empty_exponent)) {
    const Buffer<double> time_decay = build.vector<double>("time_decay", {w_.size()});
    for (Index i = 0; i < w_.size(); ++i) w_[i] = static_cast<Scalar>(-std::exp(time_decay[i]));
  }

  /// k and v are [T, A]; the results take the place of v. The States of the batch are updated.
  void apply(MatrixView<const Scalar> k, MatrixView<Scalar> v, const Batch<Scalar>& batch) const {
    Workspace::Frame frame(batch.workspace);
    const Wkv4Call<Scalar> rows{k.n_rows, k.n_cols, w_.data(), u_.data(), k.data,
                                v.data,   v.data,   nullptr,   nullptr,   nullptr};
    const auto set_state = [this](Wkv4Call<Scalar>& call, Scalar* values) {
      call.aa = values + aa_;
      call.bb = values + bb_;
      call.pp = values + pp_;
    };
    wkv4<Scalar>(per_sequence(rows, batch, frame, set_state), batch.workspace);
  }

private:
  Buffer<Scalar> w_;  // log-decay, -e^time_decay
  Buffer<Scalar> u_;
  Index aa_, bb_, pp_;  // offsets in the State
};

/// y = (sigmoid(r) wkv(k, v)) W_output^T, where r, k and v are products of x mixed with its predecessor, each with a
/// mix of its own. Operator is v4::Wkv or its like of an earlier generation.
///
/// State: the carried row `xx` [C] and the tensors of the operator.
template <class Scalar, class Operator = Wkv<Scalar>>
class TimeMix {
public:
  /// Takes the tensors time_mix_k, ..., those of the operator, and adds xx and its tensors to the State.
  explicit TimeMix(const Builder& build)
      : mix_k_(build.token_mix<Scalar>("k")),
        mix_v_(build.token_mix<Scalar>("v")),
        mix_r_(build.token_mix<Scalar>("r")),
        key_(build.matrix("key.weight", build.config().n_att, build.config().n_embd)),
        value_(build.matrix("value.weight", build.config().n_att, build.config().n_embd)),
        receptance_(build.matrix("receptance.weight", build.config().n_att, build.config().n_embd)),
        output_(build.matrix("output.weight", build.config().n_embd, build.config().n_att)),
        xx_(build.state("xx", {build.config().n_embd})),
        wkv_(build) {}

  /// x and y are [T, C] and must not overlap; the States of the batch are updated.
  void apply(MatrixView<const Scalar> x, MatrixView<Scalar> y, const Batch<Scalar>& batch) const {
    Workspace& workspace = batch.workspace;
    Workspace::Frame frame(workspace);
    const Index n_att = key_.n_out();
    const auto matrix = [&](Index n_cols) { return frame.template matrix<Scalar>(x.n_rows, n_cols); };
    const MatrixView<Scalar> xk = matrix(x.n_cols), xv = matrix(x.n_cols), xr = matrix(x.n_cols);
    const MatrixView<Scalar> k = matrix(n_att), v = matrix(n_att), r = matrix(n_att);

    const Mix<Scalar> mixes[]{{mix_k_.data(), xk}, {mix_v_.data(), xv}, {mix_r_.data(), xr}};
    token_shift<Scalar>(x, xx_, mixes, batch);
    const Product<Scalar> products[]{{&key_, xk, k}, {&value_, xv, v}, {&receptance_, xr, r}};
    multiply<Scalar>(products, workspace);
    wkv_.apply(k, v, batch);
    for_rows(x.n_rows, workspace,
             [&](Index row) { workspace.kernels<Scalar>().gate(r.row(row), v.row(row), r.row(row), n_att); });
    output_.template apply<Scalar>(r, y, workspace);
  }

private:
  Buffer<Scalar> mix_k_, mix_v_, mix_r_;
  Linear key_, value_, receptance_, output_;
  Index xx_;  // offset in the State
  Operator wkv_;
};

/// y = sigmoid(r) (max(k, 0)^2 W_value^T), where r and k are products of x mixed with its predecessor.
///
/// State: the carried row `xx` [C].
template <class Scalar>
class ChannelMix {
public:
  /// Takes the tensors time_mix_k, ... and adds xx to the State.
  explicit ChannelMix(const Builder& build)
      : mix_k_(build.token_mix<Scalar>("k")),
        mix_r_(build.token_mix<Scalar>("r")),
        key_(build.matrix("key.weight", build.config().n_ffn, build.config().n_embd)),
        receptance_(build.matrix("receptance.weight", build.config().n_embd, build.config().n_embd)),
        value_(build.sparse_matrix("value.weight", build.config().n_embd, build.config().n_ffn)),
        xx_(build.state("xx", {build.config().n_embd})) {}

  /// x and y are [T, C] and must not overlap; the States of the batch are updated.
  void apply(MatrixView<const Scalar> x, MatrixView<Scalar> y, const Batch<Scalar>& batch) const {
    Workspace& workspace = batch.workspace;
    const KernelTable<Scalar>& kernels = workspace.kernels<Scalar>();
    Workspace::Frame frame(workspace);
    const auto matrix = [&](Index n_cols) { return frame.template matrix<Scalar>(x.n_rows, n_cols); };
    const MatrixView<Scalar> xk = matrix(x.n_cols), xr = matrix(x.n_cols);
    const MatrixView<Scalar> k = matrix(key_.n_out()), r = matrix(x.n_cols);

    const Mix<Scalar> mixes[]{{mix_k_.data(), xk}, {mix_r_.data(), xr}};
    token_shift<Scalar>(x, xx_, mixes, batch);
    const Product<Scalar> products[]{{&key_, xk, k}, {&receptance_, xr, r}};
    multiply<Scalar>(products, workspace);
    for_rows(x.n_rows, workspace, [&](Index row) { kernels.relu_squared(k.row(row), k.n_cols); });
    value_.template apply<Scalar>(k, y, workspace);
    for_rows(x.n_rows, workspace, [&](Index row) { kernels.gate(r.row(row), y.row(row), y.row(row), y.n_cols); });
  }

private:
  Buffer<Scalar> mix_k_, mix_r_;
  Linear key_, receptance_, value_;
  Index xx_;  // offset in the State
};

template <class Scalar>
using Block = rwkv::Block<Scalar, TimeMix<Scalar>, ChannelMix<Scalar>>;

}  // namespace v4
RWKV_NAMESPACE_END
