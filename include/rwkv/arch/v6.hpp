// SPDX-License-Identifier: MIT
// The layers of RWKV-6 ("Finch", x060) and its variants x060a, b, c: RWKV-v5/src/model.py (BlinkDL/RWKV-LM).
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "rwkv/arch/batch.hpp"
#include "rwkv/arch/block.hpp"
#include "rwkv/arch/builder.hpp"
#include "rwkv/arch/v4.hpp"
#include "rwkv/arch/wkv5.hpp"
#include "rwkv/nn/linear.hpp"
#include "rwkv/nn/norm.hpp"
#include "rwkv/nn/rows.hpp"

RWKV_NAMESPACE_BEGIN
namespace v6 {

/// What x060 and its variants differ in.
struct Variant {
  std::string_view order;  ///< of the slices of the mixing matrices: one for each mix
  const char* down;        ///< names of these matrices
  const char* up;
  bool has_gate;         ///< silu(z_g W_gate^T), or where Config::low_rank.gate is not 0, tanh(z_g W_1) W_2
  bool is_normed_whole;  ///< ln_x runs over all channels with eps 1e-5 instead of over each head
  bool has_damped_key;   ///< k <- k (1 - w)
};

[[nodiscard]] constexpr Variant variant(Generation generation) noexcept {
  if (generation == Generation::v6b || generation == Generation::v6c) {
    return {"rkvw", "time_maa_rkvw_w1", "time_maa_rkvw_w2", false, true, generation == Generation::v6c};
  }
  return {"wkvrg", "time_maa_w1", "time_maa_w2", true, false, false};
}

/// y = (group_norm(wkv(w, u, r, k, v)) silu(g)) W_output^T, where r, k, v, g and the decay w come from x mixed with its
/// predecessor, each with a mix of its own that depends on x:
///
///   z_j = x + (previous - x) (time_maa_j + tanh((x + (previous - x) time_maa_x) W_1) W_2[j])      j = w, k, v, r, g
///   w   = e^{-e^{time_decay + tanh(z_w decay_w1) decay_w2}}
///
/// State: the carried row `xx` [C] and the matrices `S` [H, N (key), N (value)] of WKV.
template <class Scalar>
class TimeMix {
public:
  /// Takes the tensors time_maa_x, ... and adds xx, S to the State, which begins as time_state where there is one.
  explicit TimeMix(const Builder& build)
      : variant_(variant(build.config().generation)),
        n_head_(build.config().n_head),
        mix_x_(build.vector<Scalar>("time_maa_x", {1, 1, build.config().n_embd})),
        mix_down_(build.columns_by_input(variant_.down, build.config().n_embd, n_mixes(), low_rank(build).mix)),
        mix_up_(build.slices_by_input(variant_.up, n_mixes(), low_rank(build).mix, build.config().n_embd)),
        decay_(build.vector<Scalar>("time_decay", {1, 1, build.config().n_att})),
        decay_down_(build.by_input("time_decay_w1", build.config().n_embd, low_rank(build).decay)),
        decay_up_(build.by_input("time_decay_w2", low_rank(build).decay, build.config().n_att)),
        u_(build.vector<Scalar>("time_faaaa", {n_head_, build.config().head_size})),
        receptance_(build.matrix("receptance.weight", build.config().n_att, build.config().n_embd)),
        key_(build.matrix("key.weight", build.config().n_att, build.config().n_embd)),
        value_(build.matrix("value.weight", build.config().n_att, build.config().n_embd)),
        output_(build.matrix("output.weight", build.config().n_embd, build.config().n_att)),
        ln_x_(build.group_norm<Scalar>("ln_x", build.config().n_att, variant_.is_normed_whole ? 1 : n_head_,
                                       variant_.is_normed_whole ? 1e-5 : build.config().group_norm_eps)),
        xx_(build.state("xx", {build.config().n_embd})),
        s_(build.wkv_state()) {
    for (const char mix : variant_.order) {
      mixes_.push_back(build.vector<Scalar>(std::string("time_maa_") + mix, {1, 1, build.config().n_embd}));
    }
    if (!variant_.has_gate) return;
    if (const Index n_gate = low_rank(build).gate; n_gate > 0) {
      gate_ = build.by_input("gate_w1", build.config().n_embd, n_gate);
      gate_up_ = build.by_input("gate_w2", n_gate, build.config().n_att);
    } else {
      gate_ = build.matrix("gate.weight", build.config().n_att, build.config().n_embd);
    }
  }

  /// x and y are [T, C] and must not overlap; the States of the batch are updated.
  void apply(MatrixView<const Scalar> x, MatrixView<Scalar> y, const Batch<Scalar>& batch) const {
    Workspace& workspace = batch.workspace;
    const KernelTable<Scalar>& kernels = workspace.kernels<Scalar>();
    Workspace::Frame frame(workspace);
    const Index n_att = decay_.size();
    const auto matrix = [&](Index n_cols) { return frame.template matrix<Scalar>(x.n_rows, n_cols); };
    std::array<MatrixView<Scalar>, max_mixes> mixed;
    for (Index j = 0; j < n_mixes(); ++j) mixed[static_cast<std::size_t>(j)] = matrix(x.n_cols);
    mix(x, mixed, batch);
    const auto mixed_for = [&](char name) {
      const std::size_t j = variant_.order.find(name);
      return j < max_mixes ? mixed[j] : MatrixView<Scalar>{};
    };

    const MatrixView<Scalar> r = matrix(n_att), k = matrix(n_att), v = matrix(n_att), w = matrix(n_att);
    const MatrixView<Scalar> low = matrix(decay_down_.n_out()), g = matrix(n_att), out = matrix(n_att);
    const MatrixView<Scalar> gate = gate_up_ ? matrix(gate_->n_out()) : g;
    const Product<Scalar> products[]{{&receptance_, mixed_for('r'), r},
                                     {&key_, mixed_for('k'), k},
                                     {&value_, mixed_for('v'), v},
                                     {&decay_down_, mixed_for('w'), low},
                                     {gate_ ? &*gate_ : nullptr, mixed_for('g'), gate}};
    multiply<Scalar>(products, workspace);

    for_rows(x.n_rows, workspace, [&](Index row) {
      kernels.tanh(low.row(row), low.n_cols);
      if (gate_up_) kernels.tanh(gate.row(row), gate.n_cols);
    });
    const Product<Scalar> ups[]{{&decay_up_, low, w}, {gate_up_ ? &*gate_up_ : nullptr, gate, g}};
    multiply<Scalar>(ups, workspace);
    for_rows(x.n_rows, workspace, [&](Index row) {
      kernels.decay6(w.row(row), decay_.data(), n_att);
      if (!variant_.has_damped_key) return;
      for (Index i = 0; i < n_att; ++i) k.row(row)[i] *= 1 - w.row(row)[i];
    });

    const Wkv5Call<Scalar> rows{x.n_rows, n_head_, n_att / n_head_, r.data,   k.data, v.data,
                                w.data,   n_att,   u_.data(),       out.data, nullptr};
    wkv5<Scalar>(per_sequence(rows, batch, frame, s_), workspace);
    for_rows(x.n_rows, workspace, [&](Index row) {
      ln_x_.apply(out.row(row), out.row(row), kernels);
      if (gate_up_) {
        kernels.multiply(out.row(row), g.row(row), n_att);
      } else if (gate_) {
        kernels.silu_gate(g.row(row), out.row(row), out.row(row), n_att);
      }
    });
    output_.template apply<Scalar>(out, y, workspace);
  }

private:
  static constexpr std::size_t max_mixes = 5;

  static const LowRank& low_rank(const Builder& build) noexcept { return build.config().low_rank; }
  [[nodiscard]] Index n_mixes() const noexcept { return static_cast<Index>(variant_.order.size()); }

  /// The mixes of x, in the variant's order.
  void mix(MatrixView<const Scalar> x, std::span<const MatrixView<Scalar>> mixed, const Batch<Scalar>& batch) const {
    Workspace& workspace = batch.workspace;
    const KernelTable<Scalar>& kernels = workspace.kernels<Scalar>();
    Workspace::Frame frame(workspace);
    const Scalar** const previous = previous_rows(x, xx_, batch, frame);
    const auto first = frame.template matrix<Scalar>(x.n_rows, x.n_cols);
    // z + (previous - z) mu is the blend of `previous` and z in the other order.
    for_rows(x.n_rows, workspace,
             [&](Index row) { kernels.mix(previous[row], x.row(row), mix_x_.data(), first.row(row), x.n_cols); });

    std::array<Product<Scalar>, max_mixes> downs, ups;
    const auto n = static_cast<std::size_t>(n_mixes());
    for (std::size_t j = 0; j < n; ++j) {
      const auto low = frame.template matrix<Scalar>(x.n_rows, mix_down_[j].n_out());
      downs[j] = {&mix_down_[j], first, low};
      ups[j] = {&mix_up_[j], low, mixed[j]};
    }
    multiply<Scalar>(std::span(downs).first(n), workspace);
    for_rows(x.n_rows, workspace, [&](Index row) {
      for (std::size_t j = 0; j < n; ++j) kernels.tanh(downs[j].y.row(row), downs[j].y.n_cols);
    });
    multiply<Scalar>(std::span(ups).first(n), workspace);
    for_rows(x.n_rows, workspace, [&](Index row) {
      for (std::size_t j = 0; j < n; ++j) {
        Scalar* const mu = mixed[j].row(row);
        kernels.add(mu, mixes_[j].data(), x.n_cols);
        kernels.mix(previous[row], x.row(row), mu, mu, x.n_cols);
      }
    });
    carry_last_rows(x, xx_, batch);
  }

  Variant variant_;
  Index n_head_;
  Buffer<Scalar> mix_x_;
  std::vector<Linear> mix_down_, mix_up_;
  std::vector<Buffer<Scalar>> mixes_;
  Buffer<Scalar> decay_;  // time_decay: e^{-e^.} is the decay of a step
  Linear decay_down_, decay_up_;
  Buffer<Scalar> u_;  // bonus of the current token
  Linear receptance_, key_, value_, output_;
  std::optional<Linear> gate_, gate_up_;
  GroupNorm<Scalar> ln_x_;
  Index xx_, s_;  // offsets in the State
};

/// As in RWKV-4, but for the names of the mixes.
using v4::ChannelMix;

template <class Scalar>
using Block = rwkv::Block<Scalar, TimeMix<Scalar>, ChannelMix<Scalar>>;

}  // namespace v6
RWKV_NAMESPACE_END
