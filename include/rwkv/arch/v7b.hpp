// SPDX-License-Identifier: MIT
// The layers of RWKV-7b, RWKV-7a with an attention in each: RWKV-v7/rwkv_v7b_demo.py (BlinkDL/RWKV-LM).
#pragma once

#include <algorithm>
#include <cmath>
#include <span>
#include <string>

#include "rwkv/arch/batch.hpp"
#include "rwkv/arch/block.hpp"
#include "rwkv/arch/builder.hpp"
#include "rwkv/arch/v7.hpp"
#include "rwkv/arch/v7a.hpp"
#include "rwkv/nn/linear.hpp"
#include "rwkv/nn/norm.hpp"
#include "rwkv/nn/rows.hpp"

RWKV_NAMESPACE_BEGIN
namespace v7b {

/// The keys, or the values, of all tokens of a sequence, made again from the narrow rows c = x W_1 that are kept:
///
///   z_i = f(c_i W_2) b_i;   y_i = LN(z_i mu + z_{i-1} (1 - mu)), with 0 before the first
///
/// where b_i is what the layer knows of the token (see v7a::TokenValues), and f is tanh for values, nothing for keys.
///
/// State: the rows c, `kc` or `vc` [n_ctx, R], one for each token.
template <class Scalar>
class Recalled {
public:
  /// Takes the tensors k1, k2, k_emb.weight, k_emb_x.weight, x_k, lnk for the name "k", of width n.
  Recalled(const Builder& build, const std::string& name, Index n)
      : is_value_(name == "v"),
        down_(build.by_input(name + "1", build.config().n_embd, build.config().low_rank.kept)),
        up_(build.by_input(name + "2", build.config().low_rank.kept, n)),
        by_token_(build, name + "_emb", n),
        mix_(build.token_mix<Scalar>(name, n)),
        norm_(build.layer_norm<Scalar>("ln" + name, n)),
        kept_(build.state(name + "c", {build.config().n_ctx, build.config().low_rank.kept})) {}

  [[nodiscard]] Index width() const noexcept { return up_.n_out(); }

  /// Keeps what it needs of the rows x [T, C] of a batch.
  void keep(MatrixView<const Scalar> x, const Batch<Scalar>& batch) const {
    Workspace::Frame frame(batch.workspace);
    const auto c = frame.template matrix<Scalar>(x.n_rows, down_.n_out());
    down_.template apply<Scalar>(x, c, batch.workspace);
    for (const Segment<Scalar>& segment : batch.segments) {
      const auto rows = c.rows(segment.first_row, segment.n_rows);
      std::copy_n(rows.data, rows.size(), segment.state + kept_ + segment.position * c.n_cols);
    }
  }

  /// y [n, width] for the first n tokens of the sequence that has this State.
  void recall(Scalar* state, std::span<const Token> tokens, MatrixView<Scalar> y, const Batch<Scalar>& batch) const {
    Workspace& workspace = batch.workspace;
    const KernelTable<Scalar>& kernels = workspace.kernels<Scalar>();
    Workspace::Frame frame(workspace);
    const auto z = frame.template matrix<Scalar>(y.n_rows, y.n_cols);
    const auto by_token = frame.template matrix<Scalar>(y.n_rows, y.n_cols);
    Scalar* const none = frame.template take<Scalar>(y.n_cols);
    std::fill_n(none, y.n_cols, Scalar(0));

    up_.template apply<Scalar>(MatrixView<const Scalar>{state + kept_, y.n_rows, up_.n_in()}, z, workspace);
    by_token_.apply(tokens, by_token, batch);
    for_rows(y.n_rows, workspace, [&](Index row) {
      if (is_value_) kernels.tanh(z.row(row), y.n_cols);
      kernels.multiply(z.row(row), by_token.row(row), y.n_cols);
    });
    for_rows(y.n_rows, workspace, [&](Index row) {
      kernels.mix(z.row(row), row > 0 ? z.row(row - 1) : none, mix_.data(), y.row(row), y.n_cols);
      norm_.apply(y.row(row), y.row(row), kernels);
    });
  }

private:
  bool is_value_;
  Linear down_, up_;
  v7a::TokenValues<Scalar> by_token_;
  Buffer<Scalar> mix_;
  LayerNorm<Scalar> norm_;
  Index kept_;  // offset in the State
};

/// y_t = sum_{i<=t} p_ti v_i, where p_t is the softmax over i of 64 tanh(q_t k_i / 1024), and q = LN(z) for z = x W_q^T
/// mixed with its predecessor. For k and v see Recalled.
///
/// Every pass makes the keys and values of the whole sequence again: what is kept of a token is small, and reading n
/// tokens one by one takes time that grows with the square of n, scratch that grows with n.
///
/// State: the carried row `q` [Q], the rows kept for k and v, and, once for the whole model, the `tokens` [n_ctx].
template <class Scalar>
class Attention {
public:
  /// Takes the tensors qq.weight, x_q, lnq and those of Recalled for "k" and "v", and adds to the State.
  explicit Attention(const Builder& build)
      : query_(build.matrix("qq.weight", build.config().low_rank.query, build.config().n_embd)),
        mix_(build.token_mix<Scalar>("q", query_.n_out())),
        norm_(build.layer_norm<Scalar>("lnq", query_.n_out())),
        keys_(build, "k", query_.n_out()),
        values_(build, "v", build.config().n_embd),
        q_(build.state("q", {query_.n_out()})),
        tokens_(build.shared_state("tokens", {build.config().n_ctx}, 0, build.config().n_vocab)) {}

  /// x and y are [T, C] and must not overlap; the States of the batch are updated. No position exceeds n_ctx.
  void apply(MatrixView<const Scalar> x, MatrixView<Scalar> y, const Batch<Scalar>& batch) const {
    Workspace::Frame frame(batch.workspace);
    const auto z = frame.template matrix<Scalar>(x.n_rows, query_.n_out());
    const auto q = frame.template matrix<Scalar>(x.n_rows, query_.n_out());
    query_.template apply<Scalar>(x, z, batch.workspace);
    const Mix<Scalar> mixes[]{{mix_.data(), q}};
    token_shift<Scalar>(z, q_, mixes, batch);
    norm_.apply(q, q, batch.workspace);
    keys_.keep(x, batch);
    values_.keep(x, batch);
    for (const Segment<Scalar>& segment : batch.segments) {
      if (segment.n_rows > 0) attend(segment, q, y, batch);
    }
  }

private:
  /// The rows of y of one sequence.
  void attend(const Segment<Scalar>& segment, MatrixView<const Scalar> q, MatrixView<Scalar> y,
              const Batch<Scalar>& batch) const {
    Workspace::Frame frame(batch.workspace);
    const Index n = segment.position + segment.n_rows;
    // Every layer remembers the same tokens in the same place.
    const auto read =
        batch.tokens.subspan(static_cast<std::size_t>(segment.first_row), static_cast<std::size_t>(segment.n_rows));
    std::ranges::transform(read, segment.state + tokens_ + segment.position,
                           [](Token token) { return static_cast<Scalar>(token); });
    const std::span tokens(frame.template take<Token>(n), static_cast<std::size_t>(n));
    std::transform(segment.state + tokens_, segment.state + tokens_ + n, tokens.begin(),
                   [](Scalar token) { return static_cast<Token>(token); });

    const auto k = frame.template matrix<Scalar>(n, keys_.width());
    const auto v = frame.template matrix<Scalar>(n, values_.width());
    keys_.recall(segment.state, tokens, k, batch);
    values_.recall(segment.state, tokens, v, batch);
    for_rows(segment.n_rows, batch.workspace, [&](Index i) {
      const Index row = segment.first_row + i, n_seen = segment.position + i + 1;
      average(q.row(row), k.rows(0, n_seen), v.rows(0, n_seen), y.row(row));
    });
  }

  /// y [C], the average of the rows of v with their weights. These lie between e^-64 and e^64: no largest exponent has
  /// to be taken off for a float to hold their sum.
  static void average(const Scalar* q, MatrixView<const Scalar> k, MatrixView<const Scalar> v, Scalar* y) noexcept {
    Scalar sum = 0;
    std::fill_n(y, v.n_cols, Scalar(0));
    for (Index i = 0; i < k.n_rows; ++i) {
      Scalar score = 0;
      for (Index c = 0; c < k.n_cols; ++c) score += q[c] * k.row(i)[c];
      const Scalar weight = std::exp(64 * std::tanh(score / 1024));
      sum += weight;
      for (Index c = 0; c < v.n_cols; ++c) y[c] += weight * v.row(i)[c];
    }
    for (Index c = 0; c < v.n_cols; ++c) y[c] /= sum;
  }

  Linear query_;
  Buffer<Scalar> mix_;
  LayerNorm<Scalar> norm_;
  Recalled<Scalar> keys_, values_;
  Index q_, tokens_;  // offsets in the State
};

/// As in RWKV-7a, and x += attention(x) with the x that enters the layer, after the time mixing.
template <class Scalar>
class Layer final : public rwkv::Layer<Scalar> {
public:
  explicit Layer(const Builder& build) : attention_(build.at("qkv.")), block_(build) {}

  void apply(MatrixView<Scalar> x, const Batch<Scalar>& batch) const override {
    Workspace& workspace = batch.workspace;
    Workspace::Frame frame(workspace);
    const auto y = frame.template matrix<Scalar>(x.n_rows, x.n_cols);
    attention_.apply(x, y, batch);
    block_.apply(x, batch, [&] {
      for_rows(x.n_rows, workspace,
               [&](Index row) { workspace.kernels<Scalar>().add(x.row(row), y.row(row), x.n_cols); });
    });
  }

private:
  Attention<Scalar> attention_;
  v7a::Block<Scalar> block_;
};

}  // namespace v7b
RWKV_NAMESPACE_END
