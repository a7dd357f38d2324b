// SPDX-License-Identifier: MIT
// How the inputs of the matrices of a model vary together while it reads a text: what error feedback needs.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "rwkv/core/buffer.hpp"
#include "rwkv/core/linkage.hpp"
#include "rwkv/eval/text_windows.hpp"
#include "rwkv/io/checkpoint.hpp"
#include "rwkv/model.hpp"
#include "rwkv/version.hpp"
#include "rwkv/workspace.hpp"

RWKV_NAMESPACE_BEGIN

/// The mean of x x^T over the inputs x [n_in] of each matrix, made layer by layer when it is asked for. Asked in the
/// order of the layers and then for the head, as plan_conversion plans its tensors and all formats write them, the
/// model reads the text once; asked for the head first, twice.
///
/// Memory: 4 n_in^2 bytes for each matrix of one layer, those of the largest, about 90 n_embd^2 with a channel mix of
/// 4 n_embd; and the rows of the text between layers, at most 8 n_embd bytes for each token.
/// The text and the workspace must outlive it. One thread at a time.
class InputMoments {
public:
  /// `progress` is told of tokens as each layer and the head read them, (n_layer + 1) times the text; it may throw.
  /// Throws what the constructor of Model throws, and ArgumentError if there is no text or a token is outside the
  /// vocabulary.
  RWKV_API InputMoments(const Checkpoint& checkpoint, std::span<const Token> text, Workspace& workspace,
                        std::function<void(Index)> progress = {});

  /// Hands over [n_in, n_in], the lower triangle, for a weight matrix of the checkpoint; nothing if it is none that the
  /// model multiplies by. Asking once more, or for an earlier layer, makes the model read from the beginning.
  [[nodiscard]] RWKV_API std::optional<Buffer<float>> take(const TensorView& weight);

private:
  /// After the head: what is asked next begins anew.
  [[nodiscard]] Index nowhere() const noexcept { return model_.config().n_layer + 2; }
  void begin();
  void read_next_layer();
  void add(const TensorView& weight, MatrixView<const float> x);

  struct Matrix {
    std::string name;
    Index layer;  // the head is after the last
  };

  Model model_;
  std::span<const Token> text_;
  Workspace& workspace_;
  std::function<void(Index)> progress_;
  std::unordered_map<const std::byte*, Matrix> matrices_;  // by their weights
  std::vector<Activations> windows_;                       // of the text, before the next layer
  Index next_layer_;
  std::map<std::string, Buffer<float>> sums_;  // of the layer before the next
};

RWKV_NAMESPACE_END

#if RWKV_DEFINITIONS
#include <algorithm>
#include <utility>

#include "rwkv/arch/detect.hpp"
#include "rwkv/arch/tensor_list.hpp"
#include "rwkv/core/eigen.hpp"
#include "rwkv/core/error.hpp"

RWKV_NAMESPACE_BEGIN

RWKV_API InputMoments::InputMoments(const Checkpoint& checkpoint, std::span<const Token> text, Workspace& workspace,
                                    std::function<void(Index)> progress)
    : model_(checkpoint), text_(text), workspace_(workspace), progress_(std::move(progress)), next_layer_(nowhere()) {
  if (text.empty()) throw ArgumentError({.item = "text for calibration", .problem = "is empty"});
  model_.check(text);
  for (const TensorSpec& spec : tensor_list(model_.config())) {
    if (spec.role != TensorRole::matrix && spec.role != TensorRole::sparse) continue;
    const auto parsed = detail::parse_layer_name(spec.name);
    const Index layer = parsed ? parsed->layer : model_.config().n_layer;
    matrices_.emplace(checkpoint.at(spec.name).data, Matrix{spec.name, layer});
  }
}

RWKV_API std::optional<Buffer<float>> InputMoments::take(const TensorView& weight) {
  const auto matrix = matrices_.find(weight.data);
  if (matrix == matrices_.end()) return std::nullopt;
  const auto& [name, layer] = matrix->second;
  if (next_layer_ != layer + 1 || !sums_.contains(name)) {
    if (layer < next_layer_) begin();
    while (next_layer_ <= layer) read_next_layer();
  }
  auto found = sums_.extract(name);
  if (found.empty()) return std::nullopt;
  const float n = static_cast<float>(text_.size());
  for (float& x : found.mapped().span()) x /= n;
  return std::move(found.mapped());
}

RWKV_API void InputMoments::begin() {
  windows_.clear();
  sums_.clear();
  const std::size_t size = static_cast<std::size_t>(TextWindows::window_size(model_));
  for (std::size_t first = 0; first < text_.size(); first += size) {
    windows_.push_back(model_.embed(text_.subspan(first, std::min(size, text_.size() - first)), workspace_));
  }
  next_layer_ = 0;
}

RWKV_API void InputMoments::read_next_layer() {
  struct Observation {
    Workspace& workspace;
    ~Observation() { workspace.observe_products(nullptr); }
  };
  const Index layer = std::exchange(next_layer_, nowhere());  // unless all goes well
  const bool is_head = layer == model_.config().n_layer;
  sums_.clear();
  const Observation observation{workspace_};
  workspace_.observe_products([this](const TensorView& weight, MatrixView<const float> x) { add(weight, x); });
  State state = model_.new_state();
  for (Activations& window : windows_) {
    if (is_head) {
      static_cast<void>(model_.apply_head(window, Logits::all, state, workspace_));
    } else {
      model_.apply_layers(layer, layer + 1, window, state, workspace_);
    }
    if (is_head || model_.config().n_ctx > 0) state.reset();  // a context of fixed length holds one window
    if (progress_) progress_(std::ssize(window.tokens));
  }
  next_layer_ = layer + 1;
}

/// The lower triangle in panels of rows: one thread adds up each of them, in the order of the text.
RWKV_API void InputMoments::add(const TensorView& weight, MatrixView<const float> x) {
  constexpr Index n_panel = 64;
  const auto matrix = matrices_.find(weight.data);
  if (matrix == matrices_.end()) return;  // a slice, or a copy
  const Index n = x.n_cols;
  Buffer<float>& sum = sums_[matrix->second.name];
  if (sum.size() == 0) sum = Buffer<float>(n * n);
  const auto inputs = map_matrix(x);
  auto moments = map_matrix(MatrixView<float>{sum.data(), n, n});
  workspace_.threads().run((n + n_panel - 1) / n_panel, [&](Index i, int) {
    const Index first = i * n_panel, size = std::min(n_panel, n - first);
    moments.block(first, 0, size, first + size).noalias() +=
        inputs.middleCols(first, size).transpose() * inputs.leftCols(first + size);
  });
}

RWKV_NAMESPACE_END
#endif
