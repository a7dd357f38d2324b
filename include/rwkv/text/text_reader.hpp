// SPDX-License-Identifier: MIT
// A model that reads a text token by token, and where it repeats itself, guesses of the next tokens with them.
#pragma once

#include <span>
#include <vector>

#include "rwkv/core/linkage.hpp"
#include "rwkv/model.hpp"

RWKV_NAMESPACE_BEGIN

/// The present of a text: the State and the logits behind its last token.
///
/// Where the text repeats itself, what followed before is read together with the next token, so that the weights are
/// read once for all of them (prompt lookup decoding, Saxena 2023). Guesses that come true cost nothing more; at the
/// first that does not, the State goes back to where they began. One thread; the Workspace is used during calls only.
class TextReader {
public:
  TextReader(Model model, Workspace& workspace);

  [[nodiscard]] const Model& model() const noexcept { return model_; }
  /// Of all that was read and nothing else, but where read_guessing() came last: it may then be ahead of the text.
  [[nodiscard]] const State& state() const noexcept { return state_; }
  /// Behind the last token of the text [n_vocab]; empty before the first.
  [[nodiscard]] std::span<const float> logits() const noexcept { return logits_; }

  /// Another text: what is read next follows what this State has read. Throws ArgumentError, and changes nothing, if it
  /// is of another model, or the logits are neither empty nor of its vocabulary.
  void set_state(State state, std::span<const float> logits);
  /// An earlier place of the same text.
  void restore(const State& state, std::span<const float> logits);

  /// Throws ArgumentError, and reads nothing, if there is a token outside the vocabulary.
  void read(std::span<const Token> tokens);
  /// Reads one, and guesses up to n_guesses that follow. Returns whether the weights were read for it.
  bool read_guessing(Token token, Index n_guesses);
  /// Makes the State that of the text again.
  void forget_guesses();

private:
  /// What followed the last place where the text was as it is now.
  [[nodiscard]] std::span<const Token> guess(Index n_guesses) const noexcept;
  void remember(std::span<const Token> tokens);
  /// Takes the logits behind the next token from those behind guesses.
  void confirm_guess();

  Model model_;
  Workspace* workspace_;
  State state_;
  std::vector<float> logits_;
  std::vector<Token> text_;  // the last tokens, to guess from
  // While there are guesses, state_ has read them: it is before_, then sure_, then guessed_.
  State before_;
  std::vector<Token> sure_, guessed_;
  std::vector<float> guessed_logits_;  // behind each guess
  std::vector<Token> batch_;           // what is read together
};

RWKV_NAMESPACE_END

#if RWKV_DEFINITIONS
#include <algorithm>
#include <cstddef>
#include <string>
#include <utility>

#include "rwkv/core/error.hpp"

RWKV_NAMESPACE_BEGIN

RWKV_API TextReader::TextReader(Model model, Workspace& workspace)
    : model_(std::move(model)), workspace_(&workspace), state_(model_.new_state()), before_(state_) {}

RWKV_API void TextReader::set_state(State state, std::span<const float> logits) {
  model_.check(state);
  if (!logits.empty() && std::ssize(logits) != model_.config().n_vocab) {
    throw ArgumentError({.item = "logits",
                         .expected = "one for each of " + std::to_string(model_.config().n_vocab) + " tokens",
                         .found = std::to_string(logits.size())});
  }
  state_ = std::move(state);
  logits_.assign(logits.begin(), logits.end());
  sure_.clear();
  guessed_.clear();
  text_.clear();
}

RWKV_API void TextReader::restore(const State& state, std::span<const float> logits) {
  state_ = state;
  logits_.assign(logits.begin(), logits.end());
  sure_.clear();
  guessed_.clear();
}

RWKV_API void TextReader::remember(std::span<const Token> tokens) {
  constexpr std::size_t most = 1 << 16;
  if (text_.size() >= 2 * most) text_.erase(text_.begin(), text_.end() - most);
  text_.insert(text_.end(), tokens.begin(), tokens.end());
}

RWKV_API void TextReader::read(std::span<const Token> tokens) {
  forget_guesses();
  const std::span<const float> logits = model_.forward(tokens, state_, *workspace_);
  logits_.assign(logits.begin(), logits.end());
  remember(tokens);
}

RWKV_API std::span<const Token> TextReader::guess(Index n_guesses) const noexcept {
  if (n_guesses <= 0 || model_.config().n_ctx > 0) return {};  // of a fixed context nothing is spent on guesses
  constexpr std::size_t least = 2, most = 8;                   // tokens that must agree, that are compared
  std::size_t best = least - 1, next = 0;
  for (std::size_t end = text_.size() - std::min<std::size_t>(text_.size(), 1); end > best; --end) {
    std::size_t n = 0;  // tokens before `end` that are the last ones of the text, too
    while (n < most && n < end && text_[end - 1 - n] == text_[text_.size() - 1 - n]) ++n;
    if (n <= best) continue;
    best = n;
    next = end;
    if (n == most) break;
  }
  if (best < least) return {};
  const std::span<const Token> follows = std::span(text_).subspan(next);
  return follows.first(std::min(follows.size(), static_cast<std::size_t>(n_guesses)));
}

RWKV_API void TextReader::confirm_guess() {
  const Index n_vocab = model_.config().n_vocab;
  sure_.push_back(guessed_.front());
  guessed_.erase(guessed_.begin());
  logits_.assign(guessed_logits_.begin(), guessed_logits_.begin() + n_vocab);
  guessed_logits_.erase(guessed_logits_.begin(), guessed_logits_.begin() + n_vocab);
}

RWKV_API bool TextReader::read_guessing(Token token, Index n_guesses) {
  remember({&token, 1});
  if (!guessed_.empty() && guessed_.front() == token) {
    confirm_guess();
    return false;
  }
  batch_.clear();
  if (!guessed_.empty()) {
    state_ = before_;
    batch_ = sure_;
  }
  batch_.push_back(token);
  const auto n_sure = std::ssize(batch_);
  const std::span<const Token> guesses = guess(n_guesses);
  batch_.insert(batch_.end(), guesses.begin(), guesses.end());
  if (!guesses.empty()) before_ = state_;
  Sequence sequence[]{{batch_, &state_, guesses.empty() ? Logits::last : Logits::all}};
  model_.forward(sequence, *workspace_);
  // Only now, so that forget_guesses() is right after an exception, too.
  sure_.assign(batch_.begin(), batch_.begin() + n_sure);
  guessed_.assign(guesses.begin(), guesses.end());
  const auto n_vocab = static_cast<std::size_t>(model_.config().n_vocab);
  const std::span<const float> behind = sequence[0].logits.span().last((guesses.size() + 1) * n_vocab);
  logits_.assign(behind.begin(), behind.begin() + static_cast<Index>(n_vocab));
  guessed_logits_.assign(behind.begin() + static_cast<Index>(n_vocab), behind.end());
  return true;
}

RWKV_API void TextReader::forget_guesses() {
  if (!guessed_.empty()) {
    state_ = before_;
    Sequence sequence[]{{sure_, &state_, Logits::none}};
    model_.forward(sequence, *workspace_);
  }
  guessed_.clear();
  sure_.clear();
}

RWKV_NAMESPACE_END
#endif
