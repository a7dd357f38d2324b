// SPDX-License-Identifier: MIT
// What goes through the matrices of a model while it reads a text, for quantisers that should know.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "rwkv/core/linkage.hpp"
#include "rwkv/eval/text_windows.hpp"
#include "rwkv/io/checkpoint.hpp"
#include "rwkv/quant/quantise.hpp"
#include "rwkv/version.hpp"
#include "rwkv/workspace.hpp"

RWKV_NAMESPACE_BEGIN

/// Reads a text, some thousand tokens of what the model will be used for, and measures the inputs of all matrices that
/// it multiplies by.
/// Throws what the constructor of Model throws, ArgumentError if there is no text or a token is outside the vocabulary,
/// and what `progress` throws.
[[nodiscard]] RWKV_API Importance measure_importance(const Checkpoint& checkpoint, std::span<const Token> text,
                                                     Workspace& workspace, TokenProgress progress = no_token_progress);

RWKV_NAMESPACE_END

#if RWKV_DEFINITIONS
#include <unordered_map>
#include <utility>

#include "rwkv/core/error.hpp"

RWKV_NAMESPACE_BEGIN

namespace detail {

/// Sums of the squares of inputs, while it is observed by a workspace.
class InputSums {
public:
  InputSums(const Checkpoint& checkpoint, Workspace& workspace) : workspace_(workspace) {
    for (const auto& [name, tensor] : checkpoint.entries()) {
      if (tensor.shape.rank() == 2) by_data_[tensor.data] = {&name, {}, 0};
    }
    workspace_.observe_products([this](const TensorView& weight, MatrixView<const float> x) { add(weight, x); });
  }
  InputSums(const InputSums&) = delete;
  InputSums& operator=(const InputSums&) = delete;
  ~InputSums() { workspace_.observe_products(nullptr); }

  [[nodiscard]] Importance means() const {
    Importance result;
    for (const auto& [data, sum] : by_data_) {
      if (sum.n_rows == 0) continue;
      std::vector<float>& mean = result[*sum.name];
      for (const double x : sum.squares) mean.push_back(static_cast<float>(x / static_cast<double>(sum.n_rows)));
    }
    return result;
  }

private:
  struct Sum {
    const std::string* name;
    std::vector<double> squares;
    Index n_rows;
  };

  void add(const TensorView& weight, MatrixView<const float> x) {
    const auto found = by_data_.find(weight.data);
    if (found == by_data_.end()) return;  // a slice, or a copy
    Sum& sum = found->second;
    sum.squares.resize(static_cast<std::size_t>(x.n_cols));
    for (Index t = 0; t < x.n_rows; ++t) {
      const float* const row = x.row(t);
      for (std::size_t i = 0; i < sum.squares.size(); ++i) sum.squares[i] += static_cast<double>(row[i]) * row[i];
    }
    sum.n_rows += x.n_rows;
  }

  Workspace& workspace_;
  std::unordered_map<const std::byte*, Sum> by_data_;
};

}  // namespace detail

RWKV_API Importance measure_importance(const Checkpoint& checkpoint, std::span<const Token> text, Workspace& workspace,
                                       TokenProgress progress) {
  if (text.empty()) throw ArgumentError({.item = "text for calibration", .problem = "is empty"});
  const Model model(checkpoint);
  TextWindows windows(model, text);
  const detail::InputSums sums(checkpoint, workspace);
  while (!windows.rest().empty()) progress(std::ssize(windows.read(workspace).tokens));
  return sums.means();
}

RWKV_NAMESPACE_END
#endif
