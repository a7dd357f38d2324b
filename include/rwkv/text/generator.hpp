// SPDX-License-Identifier: MIT
// Text in, text out: a model, a tokenizer and a sampler that continue a text.
#pragma once

#include <algorithm>
#include <concepts>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "rwkv/core/error.hpp"
#include "rwkv/model.hpp"
#include "rwkv/text/sampler.hpp"
#include "rwkv/text/stop.hpp"
#include "rwkv/text/tokenizer.hpp"
#include "rwkv/text/utf8.hpp"

RWKV_NAMESPACE_BEGIN

struct GenerateOptions {
  Index max_tokens = 256;
  std::vector<std::string> stops = {};  ///< generation ends before any of these texts
  std::vector<Token> stop_tokens = {};  ///< and before any of these tokens, such as Tokenizer::end_of_text
};

enum class StopReason { length, stop_text, stop_token, cancelled };

struct Generated {
  std::string text;  ///< the bytes that were generated; the State has read exactly these
  Index n_tokens;    ///< tokens sampled
  StopReason reason;
};

/// Continues a text. One sequence, one thread; the Workspace is used during calls only and may be shared between
/// generators of one thread.
///
/// Between calls the State has read all text so far, prompts and generated, and nothing else.
class Generator {
public:
  /// Throws ArgumentError for a sampling option that makes no sense, or a banned token outside the vocabulary.
  Generator(Model model, Tokenizer tokenizer, Workspace& workspace, const SamplerOptions& sampling = {},
            std::uint64_t seed = 0)
      : model_(std::move(model)),
        tokenizer_(std::move(tokenizer)),
        workspace_(&workspace),
        sampler_(sampling, seed),
        state_(model_.new_state()) {
    sampler_.set_uncounted(uncounted_tokens(tokenizer_));
    for (const Token token : sampling.banned) {
      if (token < vocabulary_size()) continue;
      throw ArgumentError({.item = "banned token",
                           .expected = "0 to " + std::to_string(vocabulary_size() - 1),
                           .found = std::to_string(token)});
    }
  }

  /// Reads a text. Throws ArgumentError if it holds a token outside the model's vocabulary.
  void read(std::string_view text) { read(tokenizer_.encode(text)); }

  void read(std::span<const Token> tokens) {
    read(tokens, [](Index) { return true; });
  }

  /// The same in pieces: calls on_progress(tokens read so far) after each, and stops when it returns false. Returns
  /// whether everything was read.
  template <std::predicate<Index> OnProgress>
  bool read(std::span<const Token> tokens, OnProgress&& on_progress) {
    constexpr std::size_t piece = 256;
    for (std::size_t first = 0; first < tokens.size(); first += piece) {
      feed(tokens.subspan(first, std::min(piece, tokens.size() - first)));
      if (!on_progress(static_cast<Index>(std::min(first + piece, tokens.size()))))
        return first + piece >= tokens.size();
    }
    return true;
  }

  /// Generates until a stop, or max_tokens. on_text(std::string_view) gets the text as it comes, always whole UTF-8
  /// characters (what is not UTF-8 becomes U+FFFD), and cancels by returning false.
  ///
  /// A stop text may cross the borders of tokens; nothing of it is shown, and the State is rewound to just before it.
  /// After a cancellation the State has read the token that was being shown. The penalties of the sampler start anew.
  /// Throws ArgumentError if nothing has been read yet.
  template <std::predicate<std::string_view> OnText>
  Generated generate(const GenerateOptions& options, OnText&& on_text);

  Generated generate(const GenerateOptions& options = {}) {
    return generate(options, [](std::string_view) { return true; });
  }

  [[nodiscard]] const State& state() const noexcept { return state_; }
  [[nodiscard]] const Tokenizer& tokenizer() const noexcept { return tokenizer_; }
  [[nodiscard]] const Model& model() const noexcept { return model_; }

private:
  /// What is needed to go back to before a token whose text is being held back.
  struct Snapshot {
    State state;
    std::vector<float> logits;
    Token token;
  };

  /// Tokens that can be generated. Rows of the model beyond the tokenizer's are padding and never meant.
  [[nodiscard]] Index vocabulary_size() const noexcept {
    return std::min(model_.config().n_vocab, tokenizer_.n_vocab());
  }

  void feed(std::span<const Token> tokens) {
    const std::span<const float> logits = model_.forward(tokens, state_, *workspace_);
    logits_.assign(logits.begin(), logits.end());
  }

  /// Goes back to before the `n_back` last bytes; `token` was sampled last and has not been read yet.
  void rewind(Index n_back, Token token) {
    // The tokens that end in the last n_back bytes, from the newest; the oldest of them may begin before.
    auto n_left = n_back - static_cast<Index>(tokenizer_.bytes(token).size());
    while (n_left > 0) {
      Snapshot& snapshot = snapshots_[--n_snapshots_];
      state_ = snapshot.state;
      logits_ = snapshot.logits;
      token = snapshot.token;
      n_left -= static_cast<Index>(tokenizer_.bytes(token).size());
    }
    n_snapshots_ = 0;
    const std::string_view kept = tokenizer_.bytes(token).substr(0, static_cast<std::size_t>(-n_left));
    if (!kept.empty()) feed(tokenizer_.encode(kept));
  }

  void take_snapshot(Token token) {
    if (n_snapshots_ == snapshots_.size()) {
      snapshots_.push_back({state_, logits_, token});
    } else {
      snapshots_[n_snapshots_] = {state_, logits_, token};
    }
    ++n_snapshots_;
  }

  Model model_;
  Tokenizer tokenizer_;
  Workspace* workspace_;
  Sampler sampler_;
  State state_;
  std::vector<float> logits_;  // after what state_ has read; empty before the first token
  std::vector<Snapshot> snapshots_;
  std::size_t n_snapshots_ = 0;  // in use; the others keep their memory
};

template <std::predicate<std::string_view> OnText>
Generated Generator::generate(const GenerateOptions& options, OnText&& on_text) {
  if (logits_.empty()) {
    throw ArgumentError({.item = "generate", .problem = "there is nothing to continue", .hint = "Call read() first."});
  }
  sampler_.reset();
  n_snapshots_ = 0;
  StopMatcher matcher(options.stops);
  Utf8Stream utf8;
  Generated result{{}, 0, StopReason::length};
  std::string shown;
  const auto show = [&](std::size_t first) {  // what was released since; false: cancelled
    shown.clear();
    utf8.push(std::string_view(result.text).substr(first), shown);
    return shown.empty() || on_text(std::string_view(shown));
  };
  const auto n_tokens = static_cast<std::size_t>(vocabulary_size());

  while (result.n_tokens < options.max_tokens) {
    const Token token = sampler_.sample(std::span<const float>(logits_).first(n_tokens));
    if (std::ranges::find(options.stop_tokens, token) != options.stop_tokens.end()) {
      result.reason = StopReason::stop_token;
      break;
    }
    ++result.n_tokens;
    sampler_.accept(token);
    const std::size_t n_released = result.text.size();
    const bool is_stop = matcher.push(tokenizer_.bytes(token), result.text);
    bool goes_on = show(n_released);
    if (is_stop) {
      rewind(static_cast<Index>(matcher.held().size()), token);
      result.reason = StopReason::stop_text;
      return result;
    }
    if (matcher.held().empty())
      n_snapshots_ = 0;
    else
      take_snapshot(token);
    feed(std::span(&token, 1));
    if (!goes_on) {
      result.reason = StopReason::cancelled;
      break;
    }
  }
  const std::size_t n_released = result.text.size();
  matcher.flush(result.text);
  if (result.reason != StopReason::cancelled) {
    static_cast<void>(show(n_released));
    shown.clear();
    utf8.flush(shown);
    if (!shown.empty()) static_cast<void>(on_text(std::string_view(shown)));
  }
  return result;
}

RWKV_NAMESPACE_END
