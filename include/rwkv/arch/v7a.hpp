// SPDX-License-Identifier: MIT
// The layers of RWKV-7a, RWKV-7 with DeepEmbed: RWKV-v7/rwkv_v7a_demo.py (BlinkDL/RWKV-LM).
#pragma once

#include <span>
#include <string>

#include "rwkv/arch/batch.hpp"
#include "rwkv/arch/block.hpp"
#include "rwkv/arch/builder.hpp"
#include "rwkv/arch/embedding.hpp"
#include "rwkv/arch/v7.hpp"
#include "rwkv/nn/linear.hpp"
#include "rwkv/nn/rows.hpp"

RWKV_NAMESPACE_BEGIN
namespace v7a {

/// What a layer knows of a token, wherever it stands: y = table[token] + E W_x^T, where E is its embedding.
template <class Scalar>
class TokenValues {
public:
  /// Takes the tensors `name`.weight [V, n], of which rows are read where they lie, and `name`_x.weight [n, C].
  TokenValues(const Builder& build, const std::string& name, Index n)
      : table_(build.table(name + ".weight", n)),
        from_embedding_(build.matrix(name + "_x.weight", n, build.config().n_embd)) {}

  /// y is [T, n], for T tokens.
  void apply(std::span<const Token> tokens, MatrixView<Scalar> y, const Batch<Scalar>& batch) const {
    Workspace& workspace = batch.workspace;
    const KernelTable<Scalar>& kernels = workspace.kernels<Scalar>();
    Workspace::Frame frame(workspace);
    const auto embedded = frame.template matrix<Scalar>(y.n_rows, from_embedding_.n_in());
    const auto stored = frame.template matrix<Scalar>(y.n_rows, y.n_cols);
    batch.embedding->apply(tokens, embedded, workspace);
    from_embedding_.template apply<Scalar>(embedded, y, workspace);
    for_rows(y.n_rows, workspace, [&](Index row) {
      expand_row(table_, tokens[static_cast<std::size_t>(row)], stored.row(row), kernels);
      kernels.add(y.row(row), stored.row(row), y.n_cols);
    });
  }

private:
  TensorView table_;
  Linear from_embedding_;
};

/// The channel mixing of RWKV-7 with its hidden units multiplied by
///
///   ((x s1) M) s2 + s0,   where the matrix M [D, D] is what the layer knows of the token (see TokenValues)
///
/// State: as v7::ChannelMix.
template <class Scalar>
class ChannelMix {
public:
  /// Takes the tensors of v7::ChannelMix, and s_emb.weight, s_emb_x.weight, s1, s2, s0.
  explicit ChannelMix(const Builder& build)
      : mix_(build),
        matrices_(build, "s_emb", build.config().low_rank.embed * build.config().low_rank.embed),
        down_(build.by_input("s1", build.config().n_embd, build.config().low_rank.embed)),
        up_(build.by_input("s2", build.config().low_rank.embed, build.config().n_ffn)),
        s0_(build.vector<Scalar>("s0", {1, 1, build.config().n_ffn})) {}

  /// x and y are [T, C] and must not overlap; the States of the batch are updated.
  void apply(MatrixView<const Scalar> x, MatrixView<Scalar> y, const Batch<Scalar>& batch) const {
    mix_.apply(x, y, batch, [&](MatrixView<Scalar> hidden) { scale(hidden, x, batch); });
  }

private:
  void scale(MatrixView<Scalar> hidden, MatrixView<const Scalar> x, const Batch<Scalar>& batch) const {
    Workspace& workspace = batch.workspace;
    const KernelTable<Scalar>& kernels = workspace.kernels<Scalar>();
    Workspace::Frame frame(workspace);
    const Index n = down_.n_out();
    const auto matrix = [&](Index n_cols) { return frame.template matrix<Scalar>(x.n_rows, n_cols); };
    const MatrixView<Scalar> low = matrix(n), mapped = matrix(n), m = matrix(n * n), factors = matrix(hidden.n_cols);

    down_.template apply<Scalar>(x, low, workspace);
    matrices_.apply(batch.tokens, m, batch);
    for_rows(x.n_rows, workspace, [&](Index row) {
      const Scalar* const each = m.row(row);  // [D, D], row-major
      for (Index j = 0; j < n; ++j) {
        Scalar sum = 0;
        for (Index i = 0; i < n; ++i) sum += low.row(row)[i] * each[i * n + j];
        mapped.row(row)[j] = sum;
      }
    });
    up_.template apply<Scalar>(mapped, factors, workspace);
    for_rows(x.n_rows, workspace, [&](Index row) {
      kernels.add(factors.row(row), s0_.data(), factors.n_cols);
      kernels.multiply(hidden.row(row), factors.row(row), factors.n_cols);
    });
  }

  v7::ChannelMix<Scalar> mix_;
  TokenValues<Scalar> matrices_;
  Linear down_, up_;
  Buffer<Scalar> s0_;
};

template <class Scalar>
using Block = rwkv::Block<Scalar, v7::TimeMix<Scalar>, ChannelMix<Scalar>>;

}  // namespace v7a
RWKV_NAMESPACE_END
