// SPDX-License-Identifier: MIT
// New models: with the initial values that RWKV-LM trains from, or with random values for timing.
#pragma once

#include <Eigen/QR>
#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "rwkv/arch/config.hpp"
#include "rwkv/arch/detect.hpp"
#include "rwkv/arch/generations.hpp"
#include "rwkv/core/eigen.hpp"
#include "rwkv/core/random.hpp"
#include "rwkv/io/checkpoint.hpp"

RWKV_NAMESPACE_BEGIN
namespace detail {

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

/// The part of an official name behind "blocks.<layer>.", or the whole name.
[[nodiscard]] inline LayerName layer_name(std::string_view name) noexcept {
  return parse_layer_name(name).value_or(LayerName{0, name});
}

/// Initial values of the vectors of RWKV-4: RWKV-v4neo/src/model.py (BlinkDL/RWKV-LM), RWKV_TimeMix and
/// RWKV_ChannelMix.
[[nodiscard]] inline std::vector<float> initial_vector_v4(const TensorSpec& spec, const Config& config) {
  const auto [layer, rest] = layer_name(spec.name);
  const std::string_view what = rest.substr(rest.rfind('.') + 1);
  const bool is_attention = rest.starts_with("att.");
  // From 0 in the first layer to 1 in the last, and from 1 in the first layer to nearly 0 in the last.
  const double late = config.n_layer > 1 ? static_cast<double>(layer) / static_cast<double>(config.n_layer - 1) : 0;
  const double early = 1 - static_cast<double>(layer) / static_cast<double>(config.n_layer);
  const Index n = spec.shape.checked_n_elements().value();
  std::vector<float> values;
  for (Index i = 0; i < n; ++i) {
    const double ratio = static_cast<double>(i) / static_cast<double>(n);
    const double to_one = n > 1 ? static_cast<double>(i) / static_cast<double>(n - 1) : 0;
    double value = what == "weight" ? 1 : 0;  // layer norms
    if (what == "time_decay") value = -5 + 8 * std::pow(to_one, 0.7 + 1.3 * late);
    if (what == "time_first") value = std::log(0.3) + 0.5 * (static_cast<double>((i + 1) % 3) - 1);
    if (what == "time_mix_k") value = std::pow(ratio, early);
    if (what == "time_mix_v") value = std::pow(ratio, early) + 0.3 * late;  // may exceed 1, and is meant to
    if (what == "time_mix_r") value = std::pow(ratio, is_attention ? 0.5 * early : early);
    values.push_back(static_cast<float>(value));
  }
  return values;
}

/// Initial matrices of RWKV-4, the same source: zero where a block should begin as the identity, else orthogonal.
[[nodiscard]] inline RowMatrix<float> initial_matrix_v4(const TensorSpec& spec, Random& random) {
  const Index rows = spec.shape[0], cols = spec.shape[1];
  const auto ratio = static_cast<double>(rows) / static_cast<double>(cols);
  const std::string_view rest = layer_name(spec.name).rest;
  if (spec.role == TensorRole::embedding) {
    return random_orthogonal(rows, cols, 1e-4 * std::sqrt(static_cast<double>(std::max(rows, cols))), random);
  }
  if (rest == "head.weight") return random_orthogonal(rows, cols, 0.5 * std::sqrt(ratio), random);
  const bool is_orthogonal = rest == "att.value.weight" || (rest.starts_with("ffn") && rest.ends_with(".key.weight"));
  if (is_orthogonal) return random_orthogonal(rows, cols, std::sqrt(std::max(1.0, ratio)), random);
  return RowMatrix<float>::Zero(rows, cols);
}

}  // namespace detail

/// A new model as RWKV-LM starts to train it, in f32. The same seed gives the same model.
/// Orthogonal matrices take a QR decomposition each: meant for models of a few million parameters.
[[nodiscard]] inline Checkpoint init(const Config& config, std::uint64_t seed) {
  Random random(seed);
  Checkpoint checkpoint("a new model");
  for (const TensorSpec& spec : tensor_list(config)) {
    if (spec.role == TensorRole::vector) {
      checkpoint.add(spec.name, make_tensor(spec.shape, detail::initial_vector_v4(spec, config)));
    } else {
      const RowMatrix<float> matrix = detail::initial_matrix_v4(spec, random);
      checkpoint.add(spec.name, make_tensor(spec.shape, {matrix.data(), static_cast<std::size_t>(matrix.size())}));
    }
  }
  return checkpoint;
}

/// A model of real shapes for timing: vectors as in init(), matrices uniform in +-sqrt(3 / n_in) (so that activations
/// keep their size), stored as f32, f16 or bf16. Made in memory, fast; its text is noise.
/// Throws ArgumentError for other dtypes.
[[nodiscard]] inline Checkpoint synthetic(const Config& config, DType dtype, std::uint64_t seed) {
  if (dtype != DType::f32 && dtype != DType::f16 && dtype != DType::bf16) {
    throw ArgumentError({.item = "synthetic model", .expected = "f32, f16 or bf16", .found = std::string(name(dtype))});
  }
  Random random(seed);
  Checkpoint checkpoint("a synthetic model");
  for (const TensorSpec& spec : tensor_list(config)) {
    if (spec.role == TensorRole::vector) {
      checkpoint.add(spec.name, make_tensor(spec.shape, detail::initial_vector_v4(spec, config)));
      continue;
    }
    const Index n = spec.shape.checked_n_elements().value();
    const float scale = std::sqrt(3.0f / static_cast<float>(spec.shape[1]));
    auto bytes = std::make_shared<Buffer<std::byte>>(checked_n_bytes(dtype, spec.shape).value());
    for (Index i = 0; i < n;) {
      std::uint64_t bits = random.next();
      for (int part = 0; part < 4 && i < n; ++part, ++i, bits >>= 16) {  // 16 random bits for each weight
        const float value = scale * (static_cast<float>(bits & 0xffff) * 0x1p-15f - 1.0f);
        const std::uint16_t half = dtype == DType::f16 ? f32_to_f16(value) : f32_to_bf16(value);
        if (dtype == DType::f32)
          std::memcpy(bytes->data() + 4 * i, &value, 4);
        else
          std::memcpy(bytes->data() + 2 * i, &half, 2);
      }
    }
    checkpoint.add(spec.name, {dtype, spec.shape, bytes->data(), bytes});
  }
  return checkpoint;
}

/// The shapes of published models, by names like "v4-169M".
struct PublishedShape {
  std::string_view name;
  Config config;
};

/// RWKV-4 Pile models: L and C of BlinkDL/RWKV-LM's README, F = 4 C, the vocabulary of the 20B tokenizer.
inline constexpr std::array<PublishedShape, 6> published_shapes{{
    {"v4-169M", {Generation::v4, 12, 768, 768, 3072, 0, 0, 50277}},
    {"v4-430M", {Generation::v4, 24, 1024, 1024, 4096, 0, 0, 50277}},
    {"v4-1.5B", {Generation::v4, 24, 2048, 2048, 8192, 0, 0, 50277}},
    {"v4-3B", {Generation::v4, 32, 2560, 2560, 10240, 0, 0, 50277}},
    {"v4-7B", {Generation::v4, 32, 4096, 4096, 16384, 0, 0, 50277}},
    {"v4-14B", {Generation::v4, 40, 5120, 5120, 20480, 0, 0, 50277}},
}};

RWKV_NAMESPACE_END
