// SPDX-License-Identifier: MIT
// The layers of RWKV-8 release candidate 00 ("Heron"): RWKV-v7/rwkv_v8_rc00_demo.py (BlinkDL/RWKV-LM).
#pragma once

#include "rwkv/arch/batch.hpp"
#include "rwkv/arch/block.hpp"
#include "rwkv/arch/builder.hpp"
#include "rwkv/arch/v7.hpp"
#include "rwkv/nn/rows.hpp"

RWKV_NAMESPACE_BEGIN
namespace v8_rc00 {

/// The channel mixing of RWKV-7 with its result multiplied by enn[token].
///
/// State: as v7::ChannelMix.
template <class Scalar>
class ChannelMix {
public:
  /// Takes the tensors of v7::ChannelMix, and enn.weight, of which rows are read where they lie.
  explicit ChannelMix(const Builder& build) : mix_(build), enn_(build.table("enn.weight", build.config().n_embd)) {}

  /// x and y are [T, C] and must not overlap; the States of the batch are updated.
  void apply(MatrixView<const Scalar> x, MatrixView<Scalar> y, const Batch<Scalar>& batch) const {
    Workspace& workspace = batch.workspace;
    const KernelTable<Scalar>& kernels = workspace.kernels<Scalar>();
    Workspace::Frame frame(workspace);
    const auto factors = frame.template matrix<Scalar>(y.n_rows, y.n_cols);
    mix_.apply(x, y, batch);
    for_rows(y.n_rows, workspace, [&](Index row) {
      expand_row(enn_, batch.tokens[static_cast<std::size_t>(row)], factors.row(row), kernels);
      kernels.multiply(y.row(row), factors.row(row), y.n_cols);
    });
  }

private:
  v7::ChannelMix<Scalar> mix_;
  TensorView enn_;
};

template <class Scalar>
using Block = rwkv::Block<Scalar, v7::TimeMix<Scalar>, ChannelMix<Scalar>>;

}  // namespace v8_rc00
RWKV_NAMESPACE_END
