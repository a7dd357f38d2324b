// SPDX-License-Identifier: MIT
// New models with the initial values that RWKV-LM trains from, RWKV-4 to 7.
#pragma once

#include <Eigen/QR>
#include <algorithm>
#include <cmath>
#include <string>
#include <string_view>
#include <vector>

#include "rwkv/arch/config.hpp"
#include "rwkv/arch/detect.hpp"
#include "rwkv/arch/tensor_list.hpp"
#include "rwkv/core/eigen.hpp"
#include "rwkv/core/random.hpp"
#include "rwkv/io/checkpoint.hpp"

RWKV_NAMESPACE_BEGIN
namespace detail {

/// Where a value of a vector stands: it is number i of n, in a layer.
struct InitialPlace {
  Index i, n, layer;
  double ratio;   ///< i / n
  double to_one;  ///< i / (n - 1)
  double late;    ///< from 0 in the first layer to 1 in the last
  double early;   ///< from 1 in the first layer to nearly 0 in the last
};

/// RWKV-4: RWKV-v4neo/src/model.py (BlinkDL/RWKV-LM). `what` is the last part of the tensor's name.
[[nodiscard]] inline double initial_value_v4(std::string_view what, bool is_attention, const InitialPlace& at) {
  if (what == "time_decay") return -5 + 8 * std::pow(at.to_one, 0.7 + 1.3 * at.late);
  if (what == "time_first") return std::log(0.3) + 0.5 * (static_cast<double>((at.i + 1) % 3) - 1);
  if (what == "time_mix_v") return std::pow(at.ratio, at.early) + 0.3 * at.late;  // may exceed 1, and is meant to
  const bool is_slow = is_attention && (what == "time_mix_r" || what == "time_mix_g");
  return std::pow(at.ratio, is_slow ? 0.5 * at.early : at.early);
}

/// RWKV-5 and 6: RWKV-v5/src/model.py (BlinkDL/RWKV-LM).
[[nodiscard]] inline double initial_value_v5(std::string_view what, bool is_attention, bool is_per_head,
                                             const InitialPlace& at) {
  if (what == "time_decay") return -6 + 5 * std::pow(at.to_one, 0.7 + 1.3 * at.late);
  if (what == "time_first") return -3;
  if (what == "time_faaaa") {
    const double zigzag = is_per_head ? 0 : 0.1 * (static_cast<double>((at.i + 1) % 3) - 1);
    return at.late * (1 - at.to_one) + zigzag;
  }
  if (!what.starts_with("time_maa_")) return initial_value_v4(what, is_attention, at);
  if (!is_attention) return 1 - std::pow(at.ratio, std::pow(at.early, 3));
  // As time_mix_*, for the other one of the two rows: x and w have the mix of k.
  const char mix = what.back() == 'x' || what.back() == 'w' ? 'k' : what.back();
  return 1 - initial_value_v4(std::string("time_mix_") + mix, true, at);
}

/// RWKV-7: RWKV-v7/train_temp/src/model.py (BlinkDL/RWKV-LM).
[[nodiscard]] inline double initial_value_v7(std::string_view what, bool is_attention, Index head_size,
                                             const InitialPlace& at) {
  const double line = at.to_one - 0.5;
  const double middle = static_cast<double>(head_size - 1) / 2;
  const double s = middle > 0 ? (static_cast<double>(at.i % head_size) - middle) / middle : 0;
  const double zigzag = s * std::abs(s);  // from -1 to 1 in each head
  if (what == "w0") return -6 + 6 * std::pow(at.to_one, 1 + std::pow(at.late, 0.3)) + 0.5 + 2.5 * zigzag;
  if (what == "a0") return -0.19 + 0.3 * zigzag + 0.4 * line;
  if (what == "v0") return 0.73 - 0.4 * line;
  if (what == "k_k") return 0.71 - 0.1 * line;
  if (what == "k_a") return 1.02;
  if (what == "r_k") return -0.04;
  if (!is_attention) return 1 - std::pow(at.ratio, std::pow(at.early, 4));
  const double power = what == "x_r" || what == "x_g" ? 0.2 : what == "x_w" || what == "x_a" ? 0.9 : 0.7;
  return 1 - std::pow(at.ratio, power * at.early);
}

/// Initial values of a vector of RWKV-4 to 7, with an official name.
[[nodiscard]] inline std::vector<float> initial_vector(const TensorSpec& spec, const Config& config) {
  const auto [layer, rest] = parse_layer_name(spec.name).value_or(LayerName{0, spec.name});
  const std::string_view what = rest.substr(rest.rfind('.') + 1);
  const bool is_attention = rest.starts_with("att.");
  const Index n = spec.shape.checked_n_elements().value();
  const auto n_layer = static_cast<double>(config.n_layer);
  InitialPlace at{0, n, layer, 0, 0, 0, 1 - static_cast<double>(layer) / n_layer};
  if (config.n_layer > 1) at.late = static_cast<double>(layer) / (n_layer - 1);
  std::vector<float> values(static_cast<std::size_t>(n));
  for (at.i = 0; at.i < n; ++at.i) {
    at.ratio = static_cast<double>(at.i) / static_cast<double>(n);
    at.to_one = n > 1 ? static_cast<double>(at.i) / static_cast<double>(n - 1) : 0;
    double value = 0;
    if (rest == "att.ln_x.weight") {
      value = std::pow(static_cast<double>(1 + layer) / n_layer, 0.7);
    } else if (what == "weight" || what == "bias") {  // layer norms
      value = what == "weight" ? 1 : 0;
    } else if (config.generation >= Generation::v7) {
      value = initial_value_v7(what, is_attention, config.head_size, at);
    } else if (config.generation >= Generation::v5_0) {
      value = initial_value_v5(what, is_attention, spec.shape == Shape{config.n_head}, at);
    } else {
      value = initial_value_v4(what, is_attention, at);
    }
    values[static_cast<std::size_t>(at.i)] = static_cast<float>(value);
  }
  return values;
}

/// rows x cols with orthonormal rows or columns, whichever are fewer, times `gain`; the distribution is uniform over
/// such matrices, as that of torch.nn.init.orthogonal_.
[[nodiscard]] inline RowMatrix<float> random_orthogonal(Index rows, Index cols, double gain, Random& random) {
  Eigen::MatrixXd normal(std::max(rows, cols), std::min(rows, cols));
  for (double& value : normal.reshaped()) value = random.normal();
  const Eigen::HouseholderQR<Eigen::MatrixXd> qr(normal);
  Eigen::MatrixXd q = qr.householderQ() * Eigen::MatrixXd::Identity(normal.rows(), normal.cols());
  for (Index c = 0; c < q.cols(); ++c) q.col(c) *= qr.matrixQR()(c, c) < 0 ? -gain : gain;
  if (rows < cols) q.transposeInPlace();
  return q.cast<float>();
}

[[nodiscard]] inline RowMatrix<float> random_uniform(Index rows, Index cols, double limit, Random& random) {
  RowMatrix<float> matrix(rows, cols);
  for (float& value : matrix.reshaped()) value = static_cast<float>(limit * (2 * random.uniform() - 1));
  return matrix;
}

/// The initial values of a matrix, or of a stack of them as one: zero where a block should begin as the identity, and
/// for the downward half of low-rank parts, so that these begin as nothing.
[[nodiscard]] inline RowMatrix<float> initial_matrix(const TensorSpec& spec, const Config& config, Random& random) {
  const Index cols = spec.shape[spec.shape.rank() - 1], rows = spec.shape.checked_n_elements().value() / cols;
  const double ratio = static_cast<double>(rows) / static_cast<double>(cols), taller = std::sqrt(std::max(1.0, ratio));
  const std::string_view rest = parse_layer_name(spec.name).value_or(LayerName{0, spec.name}).rest;
  const bool is_v4 = config.generation == Generation::v4;
  if (spec.role == TensorRole::embedding) {
    if (!is_v4) return random_uniform(rows, cols, 1e-4, random);
    return random_orthogonal(rows, cols, 1e-4 * std::sqrt(static_cast<double>(std::max(rows, cols))), random);
  }
  if (rest == "head.weight") return random_orthogonal(rows, cols, 0.5 * (is_v4 ? std::sqrt(ratio) : taller), random);
  if (spec.role == TensorRole::by_input) {
    if (rest.starts_with("att.gate_w")) return random_uniform(rows, cols, 0.01, random);
    if (rest.ends_with("1")) return RowMatrix<float>::Zero(rows, cols);
    if (config.generation >= Generation::v7) return random_orthogonal(rows, cols, 0.1 * taller, random);
    return random_uniform(rows, cols, 0.01, random);
  }
  const bool is_ffn = rest.starts_with("ffn");
  if (rest == "att.value.weight" || (is_ffn && rest.ends_with(".key.weight"))) {
    return random_orthogonal(rows, cols, is_v4 ? taller : 1, random);
  }
  const bool is_zero = is_v4 || is_ffn || rest == "att.output.weight";
  if (is_zero) return RowMatrix<float>::Zero(rows, cols);
  return random_orthogonal(rows, cols, rest == "att.receptance.weight" ? 1 : 0.1, random);
}

/// Models with a copy head come with a mask that training needs, and that says how far back it looks: detect() reads
/// n_ctx off it. Those of RWKV-1 have it elsewhere.
inline void add_copy_mask(Checkpoint& checkpoint, const Config& config) {
  if (config.n_copy == 0 || config.generation == Generation::v1) return;
  const RowMatrix<float> mask = RowMatrix<float>::Ones(config.n_ctx, config.n_ctx).triangularView<Eigen::Lower>();
  checkpoint.add("copy_mask",
                 make_tensor({config.n_ctx, config.n_ctx}, {mask.data(), static_cast<std::size_t>(mask.size())}));
}

}  // namespace detail

/// A new model as RWKV-LM starts to train it, in f32. The same seed gives the same model.
/// Orthogonal matrices take a QR decomposition each: meant for models of a few million parameters.
/// Throws UnsupportedError for generations before RWKV-4, and for variants of RWKV-7.
[[nodiscard]] inline Checkpoint init(const Config& config, std::uint64_t seed) {
  if (config.generation < Generation::v4 || config.generation > Generation::v7) {
    throw UnsupportedError({.item = "RWKV-" + std::string(name(config.generation)),
                            .problem = "new models can be made of RWKV-4 to 7 only"});
  }
  Random random(seed);
  Checkpoint checkpoint("a new model");
  for (const TensorSpec& spec : tensor_list(config)) {
    if (spec.role == TensorRole::vector) {
      checkpoint.add(spec.name, make_tensor(spec.shape, detail::initial_vector(spec, config)));
    } else {
      const RowMatrix<float> matrix = detail::initial_matrix(spec, config, random);
      checkpoint.add(spec.name, make_tensor(spec.shape, {matrix.data(), static_cast<std::size_t>(matrix.size())}));
    }
  }
  detail::add_copy_mask(checkpoint, config);
  return checkpoint;
}

RWKV_NAMESPACE_END
