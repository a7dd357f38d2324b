// SPDX-License-Identifier: MIT
// Reads a text through a model piece by piece.
#pragma once

#include <algorithm>
#include <span>

#include "rwkv/core/function_ref.hpp"
#include "rwkv/model.hpp"

RWKV_NAMESPACE_BEGIN

/// Told how many tokens were read since the last call. It may throw: what is being measured is then given up.
using TokenProgress = FunctionRef<void(Index)>;

inline void no_token_progress(Index) noexcept {}

/// A text as a model reads it, window by window. The State goes on from one to the next; a model that has a context of
/// fixed length begins anew where the next window would not fit. What it refers to must outlive it.
class TextWindows {
public:
  /// Windows of the largest size that is efficient, has logits of some tens of MB, and fits the context of the model.
  [[nodiscard]] static Index window_size(const Model& model) noexcept {
    const Index n_ctx = model.config().n_ctx;
    return n_ctx > 0 ? std::min<Index>(n_ctx, 128) : 128;
  }

  /// Throws ArgumentError if a token is outside the vocabulary of the model.
  TextWindows(const Model& model, std::span<const Token> text) : TextWindows(model, text, window_size(model)) {}
  TextWindows(const Model& model, std::span<const Token> text, Index size)
      : model_(model), state_(model.new_state()), rest_(text), size_(size) {
    model.check(text);
  }

  /// Reads the next window and returns it, with the logits of all its places, or of the last one; an empty one at the
  /// end. Logits are in the workspace until its next forward pass.
  Sequence read(Workspace& workspace, Logits wanted = Logits::all) {
    const auto tokens = rest_.first(static_cast<std::size_t>(std::min(size_, std::ssize(rest_))));
    const Index n_ctx = model_.config().n_ctx;
    if (n_ctx > 0 && n_read_ + size_ > n_ctx) {
      state_.reset();
      n_read_ = 0;
    }
    Sequence window{tokens, &state_, wanted};
    if (!tokens.empty()) model_.forward({&window, 1}, workspace);
    rest_ = rest_.subspan(tokens.size());
    n_read_ += std::ssize(tokens);
    return window;
  }

  /// What follows the last window.
  [[nodiscard]] std::span<const Token> rest() const noexcept { return rest_; }

private:
  const Model& model_;
  State state_;
  std::span<const Token> rest_;
  Index size_;
  Index n_read_ = 0;
};

RWKV_NAMESPACE_END
