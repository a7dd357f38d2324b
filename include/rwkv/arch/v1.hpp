// SPDX-License-Identifier: MIT
// RWKV-1 (August 2021): RWKV-v1/src/model.py (BlinkDL/RWKV-LM), model_type RWKV. It has weights for pairs of positions
// in a context of fixed length, so it remembers every token by itself, and no more than n_ctx of them.
#pragma once

#include <algorithm>
#include <cmath>

#include "rwkv/arch/batch.hpp"
#include "rwkv/arch/block.hpp"
#include "rwkv/arch/builder.hpp"
#include "rwkv/nn/linear.hpp"
#include "rwkv/nn/norm.hpp"
#include "rwkv/nn/rows.hpp"

RWKV_NAMESPACE_BEGIN
namespace v1 {

/// The token shift of RWKV-1: z has the first half of its channels from the row before, the others from x.
///
/// x and z are [T, C] and must not overlap. The row before the first is the carried one; afterwards the last is
/// carried.
template <class Scalar>
void shift_half(MatrixView<const Scalar> x, Index carry, MatrixView<Scalar> z, const Batch<Scalar>& batch) {
  Workspace::Frame frame(batch.workspace);
  const Scalar** const previous = previous_rows(x, carry, batch, frame);
  const Index half = x.n_cols / 2;
  for (Index row = 0; row < x.n_rows; ++row) {
    std::copy_n(previous[row], half, z.row(row));
    std::copy_n(x.row(row) + half, x.n_cols - half, z.row(row) + half);
  }
  carry_last_rows(x, carry, batch);
}

/// Multiplies each row of y [T, C] with the factor of its position in its sequence.
template <class Scalar>
void scale_by_position(MatrixView<Scalar> y, const Buffer<Scalar>& factors, const Batch<Scalar>& batch) {
  for (const Segment<Scalar>& segment : batch.segments) {
    for (Index i = 0; i < segment.n_rows; ++i) {
      for (Scalar& value : y.rows(segment.first_row + i, 1).span()) value *= factors[segment.position + i];
    }
  }
}

/// y_t = gamma_t ((sigmoid(r_t) a_t) W_output^T + b_output), where r, k and v are products of shift_half(x), with
/// biases, and for every channel by itself
///
///   a_t = beta_t (sum_{i<=t} f_{t-i} alpha_i e^{k_i} v_i) / (sum_{i<=t} e^{k_i})
///
/// with f_d = time_w[n_ctx - 1 - d], alpha = time_alpha and beta = time_beta those of the channel's head, gamma =
/// time_gamma. k is kept within -60..30, as in the original from its second release on. A token costs O(n_ctx A).
///
/// State: the carried row `xx` [C], the summands `kv` = alpha_i e^{k_i} v_i [n_ctx, A], a row for each token, and the
/// denominator `sum` [A].
template <class Scalar>
class TimeMix {
public:
  /// Takes the tensors time_w, time_alpha, ... and adds xx, kv, sum to the State.
  explicit TimeMix(const Builder& build)
      : n_head_(build.config().n_head),
        n_ctx_(build.config().n_ctx),
        time_w_(build.vector<Scalar>("time_w", {n_head_, n_ctx_})),
        alpha_(build.vector<Scalar>("time_alpha", {n_head_, 1, n_ctx_})),
        beta_(build.vector<Scalar>("time_beta", {n_head_, n_ctx_, 1})),
        gamma_(build.vector<Scalar>("time_gamma", {n_ctx_, 1})),
        key_(build.biased("key", build.config().n_att, build.config().n_embd)),
        value_(build.biased("value", build.config().n_att, build.config().n_embd)),
        receptance_(build.biased("receptance", build.config().n_att, build.config().n_embd)),
        output_(build.biased("output", build.config().n_embd, build.config().n_att)),
        xx_(build.state("xx", {build.config().n_embd})),
        kv_(build.state("kv", {n_ctx_, build.config().n_att})),
        sum_(build.state("sum", {build.config().n_att})) {}

  /// x and y are [T, C] and must not overlap; the States of the batch are updated. No position exceeds n_ctx.
  void apply(MatrixView<const Scalar> x, MatrixView<Scalar> y, const Batch<Scalar>& batch) const {
    Workspace& workspace = batch.workspace;
    Workspace::Frame frame(workspace);
    const Index n_att = key_.n_out();
    const auto matrix = [&](Index n_cols) { return frame.template matrix<Scalar>(x.n_rows, n_cols); };
    const MatrixView<Scalar> z = matrix(x.n_cols), k = matrix(n_att), v = matrix(n_att), r = matrix(n_att);

    shift_half(x, xx_, z, batch);
    const Product<Scalar> products[]{{&key_, z, k}, {&value_, z, v}, {&receptance_, z, r}};
    multiply<Scalar>(products, workspace);
    workspace.threads().run_split(n_head_, 1, [&](Range heads, int) {
      for (const Segment<Scalar>& segment : batch.segments) {
        for (Index i = 0; i < segment.n_rows; ++i) {
          const Index row = segment.first_row + i;
          for (Index h = heads.begin; h < heads.end; ++h) {
            average(h, segment.position + i, k.row(row), v.row(row), segment.state);
          }
        }
      }
    });
    for_rows(x.n_rows, workspace,
             [&](Index row) { workspace.kernels<Scalar>().gate(r.row(row), v.row(row), r.row(row), n_att); });
    output_.template apply<Scalar>(r, y, workspace);
    scale_by_position(y, gamma_, batch);
  }

private:
  /// a_t for one head of one token, in the place of v [A].
  void average(Index head, Index t, const Scalar* k, Scalar* v, Scalar* state) const noexcept {
    const Index n_att = key_.n_out(), n = n_att / n_head_, first = head * n;
    Scalar* const sum = state + sum_;
    Scalar* const kv = state + kv_;
    for (Index c = first; c < first + n; ++c) {
      const Scalar e = std::exp(std::clamp(k[c], Scalar(-60), Scalar(30)));
      sum[c] += e;
      kv[t * n_att + c] = alpha_[head * n_ctx_ + t] * e * v[c];
      v[c] = 0;
    }
    for (Index i = 0; i <= t; ++i) {
      const Scalar weight = time_w_[head * n_ctx_ + n_ctx_ - 1 - (t - i)];
      for (Index c = first; c < first + n; ++c) v[c] += weight * kv[i * n_att + c];
    }
    for (Index c = first; c < first + n; ++c) v[c] *= beta_[head * n_ctx_ + t] / sum[c];
  }

  Index n_head_, n_ctx_;
  Buffer<Scalar> time_w_, alpha_, beta_, gamma_;
  Linear key_, value_, receptance_, output_;
  Index xx_, kv_, sum_;  // offsets in the State
};

/// mish(x) = x tanh(ln(1 + e^x)) = x n / (n + 2) with n = e^x (e^x + 2).
template <class Scalar>
[[nodiscard]] Scalar mish(Scalar x) noexcept {
  if (x > 20) return x;  // to the last digit of a double, and e^2x would overflow further on
  const Scalar e = std::exp(x), n = e * (e + 2);
  return x * n / (n + 2);
}

/// y = sigmoid(r) ((mish(k) v) W_weight^T + b_weight), where r, k and v are products of shift_half(x), with biases.
///
/// State: the carried row `xx` [C].
template <class Scalar>
class ChannelMix {
public:
  /// Takes the tensors key.weight, key.bias, ... and adds xx to the State.
  explicit ChannelMix(const Builder& build)
      : key_(build.biased("key", build.config().n_ffn, build.config().n_embd)),
        value_(build.biased("value", build.config().n_ffn, build.config().n_embd)),
        weight_(build.biased("weight", build.config().n_embd, build.config().n_ffn)),
        receptance_(build.biased("receptance", build.config().n_embd, build.config().n_embd)),
        xx_(build.state("xx", {build.config().n_embd})) {}

  /// x and y are [T, C] and must not overlap; the States of the batch are updated.
  void apply(MatrixView<const Scalar> x, MatrixView<Scalar> y, const Batch<Scalar>& batch) const {
    Workspace& workspace = batch.workspace;
    Workspace::Frame frame(workspace);
    const Index n_ffn = key_.n_out();
    const auto matrix = [&](Index n_cols) { return frame.template matrix<Scalar>(x.n_rows, n_cols); };
    const MatrixView<Scalar> z = matrix(x.n_cols), r = matrix(x.n_cols), k = matrix(n_ffn), v = matrix(n_ffn);

    shift_half(x, xx_, z, batch);
    const Product<Scalar> products[]{{&key_, z, k}, {&value_, z, v}, {&receptance_, z, r}};
    multiply<Scalar>(products, workspace);
    for_rows(x.n_rows, workspace, [&](Index row) {
      for (Index i = 0; i < n_ffn; ++i) k.row(row)[i] = mish(k.row(row)[i]) * v.row(row)[i];
    });
    weight_.template apply<Scalar>(k, y, workspace);
    for_rows(x.n_rows, workspace,
             [&](Index row) { workspace.kernels<Scalar>().gate(r.row(row), y.row(row), y.row(row), y.n_cols); });
  }

private:
  Linear key_, value_, weight_, receptance_;
  Index xx_;  // offset in the State
};

template <class Scalar>
using Block = rwkv::Block<Scalar, TimeMix<Scalar>, ChannelMix<Scalar>>;

}  // namespace v1
RWKV_NAMESPACE_END
