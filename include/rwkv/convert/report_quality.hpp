// SPDX-License-Identifier: MIT
// What a conversion cost: a model against its copy in another type, on a text.
#pragma once

#include <algorithm>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "rwkv/convert/choose_types.hpp"
#include "rwkv/core/dtype.hpp"
#include "rwkv/eval/score.hpp"
#include "rwkv/eval/tasks.hpp"
#include "rwkv/eval/text_windows.hpp"
#include "rwkv/io/checkpoint.hpp"
#include "rwkv/model.hpp"
#include "rwkv/workspace.hpp"

RWKV_NAMESPACE_BEGIN

/// What a conversion changed.
struct QualityReport {
  /// A matrix that is stored in another type.
  struct Tensor {
    std::string name;
    DType dtype = DType::f32;  ///< of the copy
    double error = 0;          ///< see relative_error
  };

  ComparisonResult text = {};  ///< a is the source, b the copy
  Index source_bytes = 0;      ///< of all tensors
  Index copy_bytes = 0;
  double bits_per_weight = 0;        ///< of the copy, over all its tensors
  std::vector<Tensor> tensors = {};  ///< those of another type than in the source, the worst first
};

/// Compares two models of one kind: what they say about a text, as their workspaces compute it, and their matrices.
///
/// Throws ModelError if the copy lacks a tensor of the source or has it in another shape, but for axes of length 1;
/// ArgumentError if a token is outside the vocabulary; what the constructor of Model throws; and what `progress`
/// throws.
[[nodiscard]] inline QualityReport report_quality(const Checkpoint& source, const Checkpoint& copy,
                                                  std::span<const Token> text, const Importance& importance,
                                                  const WorkspaceOptions& options = {},
                                                  TokenProgress progress = no_token_progress) {
  QualityReport report;
  double n_weights = 0;
  for (const Checkpoint::Entry& entry : source.entries()) {
    const TensorView& tensor = copy.at(entry.name);
    if (without_ones(tensor.shape) != without_ones(entry.tensor.shape)) {
      throw ModelError({.path = copy.path(),
                        .item = tensor_item(entry.name),
                        .expected = "shape " + to_string(entry.tensor.shape),
                        .found = to_string(tensor.shape)});
    }
    report.source_bytes += entry.tensor.n_bytes();
    report.copy_bytes += tensor.n_bytes();
    n_weights += static_cast<double>(tensor.n_elements());
    if (tensor.dtype == entry.tensor.dtype || tensor.shape.rank() != 2 || tensor.shape != entry.tensor.shape) continue;
    const std::span<const float> weights = importance_of(importance, entry.name);
    report.tensors.push_back({entry.name, tensor.dtype, relative_error(entry.tensor, tensor, weights)});
  }
  report.bits_per_weight = n_weights > 0 ? 8 * static_cast<double>(report.copy_bytes) / n_weights : 0;
  std::stable_sort(report.tensors.begin(), report.tensors.end(),
                   [](const auto& a, const auto& b) { return a.error > b.error; });

  const Model model(source);
  const Index n_ctx = model.config().n_ctx;  // 0: one window
  Workspace workspace_a(options), workspace_b(options);
  Comparison comparison;
  compare(
      model, Model(copy), windows(text, n_ctx, std::max(n_ctx - 1, Index{0})),
      [&](std::size_t, const Comparison& window) { comparison.merge(window); },
      [&](Index n) {
        progress(n);
        return true;
      },
      workspace_a, workspace_b);
  report.text = comparison.result();
  return report;
}

RWKV_NAMESPACE_END
