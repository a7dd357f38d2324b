// SPDX-License-Identifier: MIT
// The layers of RWKV-4: rwkv_pip_package/src/rwkv/model.py (BlinkDL/ChatRWKV) and RWKV-v4neo/src/model.py
// (BlinkDL/RWKV-LM).
#pragma once

#include <array>
#include <cmath>
#include <string>
#include <utility>
#include <variant>

#include "rwkv/arch/block.hpp"
#include "rwkv/arch/config.hpp"
#include "rwkv/arch/tensor_source.hpp"
#include "rwkv/arch/wkv4.hpp"
#include "rwkv/nn/linear.hpp"
#include "rwkv/nn/rows.hpp"
#include "rwkv/state.hpp"

RWKV_NAMESPACE_BEGIN
namespace v4 {

/// y = (sigmoid(r) wkv(w, u, k, v)) W_output^T, where r, k and v are products of x mixed with its predecessor, each
/// with a mix of its own.
///
/// State: the carried row `xx` [C] and the sums `aa`, `bb`, `pp` [A] of WKV.
template <class Scalar>
class TimeMix {
public:
  /// Takes the tensors `prefix`time_decay, ... from `source` and adds the state tensors `prefix`xx, ... to `layout`.
  TimeMix(TensorSource& source, const std::string& prefix, Index n_embd, Index n_att, StateLayout& layout)
      : w_(n_att),
        u_(source.vector<Scalar>(prefix + "time_first", {n_att})),
        mix_k_(source.vector<Scalar>(prefix + "time_mix_k", {1, 1, n_embd})),
        mix_v_(source.vector<Scalar>(prefix + "time_mix_v", {1, 1, n_embd})),
        mix_r_(source.vector<Scalar>(prefix + "time_mix_r", {1, 1, n_embd})),
        key_(source.matrix(prefix + "key.weight", n_att, n_embd)),
        value_(source.matrix(prefix + "value.weight", n_att, n_embd)),
        receptance_(source.matrix(prefix + "receptance.weight", n_att, n_embd)),
        output_(source.matrix(prefix + "output.weight", n_embd, n_att)),
        xx_(layout.add(prefix + "xx", {n_embd})),
        aa_(layout.add(prefix + "aa", {n_att})),
        bb_(layout.add(prefix + "bb", {n_att})),
        pp_(layout.add(prefix + "pp", {n_att}, wkv_empty_exponent)) {
    const Buffer<double> time_decay = source.vector<double>(prefix + "time_decay", {n_att});
    for (Index i = 0; i < n_att; ++i) w_[i] = static_cast<Scalar>(-std::exp(time_decay[i]));
  }

  /// x and y are [T, C] and must not overlap; the States of the batch are updated.
  void apply(MatrixView<const Scalar> x, MatrixView<Scalar> y, const Batch<Scalar>& batch) const {
    Workspace& workspace = batch.workspace;
    Workspace::Frame frame(workspace);
    const Index n_att = w_.size();
    const auto matrix = [&](Index n_cols) { return frame.template matrix<Scalar>(x.n_rows, n_cols); };
    const MatrixView<Scalar> xk = matrix(x.n_cols), xv = matrix(x.n_cols), xr = matrix(x.n_cols);
    const MatrixView<Scalar> k = matrix(n_att), v = matrix(n_att), r = matrix(n_att);

    token_shift<Scalar, 3>(x, xx_, {{{mix_k_.data(), xk}, {mix_v_.data(), xv}, {mix_r_.data(), xr}}}, batch);
    const Product<Scalar> products[]{{&key_, xk, k}, {&value_, xv, v}, {&receptance_, xr, r}};
    multiply<Scalar>(products, workspace);

    const auto n_segments = batch.segments.size();
    auto* const calls = frame.template take<Wkv4Call<Scalar>>(static_cast<Index>(n_segments));
    for (std::size_t i = 0; i < n_segments; ++i) {
      const Segment<Scalar>& segment = batch.segments[i];
      const Index row = segment.first_row;
      calls[i] = {segment.n_rows,      n_att,
                  w_.data(),           u_.data(),
                  k.row(row),          v.row(row),
                  v.row(row),  // each value is read before the output takes its place
                  segment.state + aa_, segment.state + bb_,
                  segment.state + pp_};
    }
    wkv4<Scalar>({calls, n_segments}, workspace);

    for_rows(x.n_rows, workspace,
             [&](Index row) { workspace.kernels<Scalar>().gate(r.row(row), v.row(row), r.row(row), n_att); });
    output_.template apply<Scalar>(r, y, workspace);
  }

private:
  Buffer<Scalar> w_;  // log-decay, -e^time_decay
  Buffer<Scalar> u_;
  Buffer<Scalar> mix_k_, mix_v_, mix_r_;
  Linear key_, value_, receptance_, output_;
  Index xx_, aa_, bb_, pp_;  // offsets in the State
};

/// y = sigmoid(r) (max(k, 0)^2 W_value^T), where r and k are products of x mixed with its predecessor.
///
/// State: the carried row `xx` [C].
template <class Scalar>
class ChannelMix {
public:
  /// Takes the tensors `prefix`time_mix_k, ... from `source` and adds the state tensor `prefix`xx to `layout`.
  ChannelMix(TensorSource& source, const std::string& prefix, Index n_embd, Index n_ffn, StateLayout& layout)
      : mix_k_(source.vector<Scalar>(prefix + "time_mix_k", {1, 1, n_embd})),
        mix_r_(source.vector<Scalar>(prefix + "time_mix_r", {1, 1, n_embd})),
        key_(source.matrix(prefix + "key.weight", n_ffn, n_embd)),
        receptance_(source.matrix(prefix + "receptance.weight", n_embd, n_embd)),
        value_(source.matrix(prefix + "value.weight", n_embd, n_ffn)),
        xx_(layout.add(prefix + "xx", {n_embd})) {}

  /// x and y are [T, C] and must not overlap; the States of the batch are updated.
  void apply(MatrixView<const Scalar> x, MatrixView<Scalar> y, const Batch<Scalar>& batch) const {
    Workspace& workspace = batch.workspace;
    const KernelTable<Scalar>& kernels = workspace.kernels<Scalar>();
    Workspace::Frame frame(workspace);
    const auto matrix = [&](Index n_cols) { return frame.template matrix<Scalar>(x.n_rows, n_cols); };
    const MatrixView<Scalar> xk = matrix(x.n_cols), xr = matrix(x.n_cols);
    const MatrixView<Scalar> k = matrix(key_.n_out()), r = matrix(x.n_cols);

    token_shift<Scalar, 2>(x, xx_, {{{mix_k_.data(), xk}, {mix_r_.data(), xr}}}, batch);
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

/// A block of RWKV-4 whose tensors are named `prefix`ln1.weight, ..., and those of its mixer
/// `prefix``mixer`.key.weight,
/// ...: "att" for a TimeMix with n_hidden = n_att, "ffnPre" for a ChannelMix with n_hidden = n_ffn.
template <class Scalar, template <class> class Mixer = TimeMix>
[[nodiscard]] Block<Scalar, Mixer<Scalar>, ChannelMix<Scalar>> make_block(TensorSource& source,
                                                                          const std::string& prefix,
                                                                          const std::string& mixer, Index n_hidden,
                                                                          const Config& config, StateLayout& layout) {
  auto ln1 = source.layer_norm<Scalar>(prefix + "ln1", config.n_embd);
  Mixer<Scalar> first(source, prefix + mixer + ".", config.n_embd, n_hidden, layout);
  auto ln2 = source.layer_norm<Scalar>(prefix + "ln2", config.n_embd);
  return {std::move(ln1), std::move(first), std::move(ln2),
          ChannelMix<Scalar>(source, prefix + "ffn.", config.n_embd, config.n_ffn, layout)};
}

/// Layer number `index` of a model.
template <class Scalar>
class Layer {
public:
  Layer(TensorSource& source, const Config& config, Index index, StateLayout& layout)
      : block_(make(source, config, index, layout)) {}

  void apply(MatrixView<Scalar> x, const Batch<Scalar>& batch) const {
    std::visit([&](const auto& block) { block.apply(x, batch); }, block_);
  }

private:
  using AnyBlock = std::variant<Block<Scalar, TimeMix<Scalar>, ChannelMix<Scalar>>,
                                Block<Scalar, ChannelMix<Scalar>, ChannelMix<Scalar>>>;

  static AnyBlock make(TensorSource& source, const Config& config, Index index, StateLayout& layout) {
    const std::string prefix = "blocks." + std::to_string(index) + ".";
    if (index == 0 && config.has_ffn_pre) {
      return make_block<Scalar, ChannelMix>(source, prefix, "ffnPre", config.n_ffn, config, layout);
    }
    return make_block<Scalar>(source, prefix, "att", config.n_att, config, layout);
  }

  AnyBlock block_;
};

}  // namespace v4
RWKV_NAMESPACE_END
