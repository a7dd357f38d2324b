// SPDX-License-Identifier: MIT
// How likely texts are to a model: the basis of perplexity, LAMBADA and multiple choice. Many texts are read at once.
#pragma once

#include <span>
#include <vector>

#include "rwkv/core/function_ref.hpp"
#include "rwkv/core/linkage.hpp"
#include "rwkv/eval/comparison.hpp"
#include "rwkv/eval/prediction.hpp"
#include "rwkv/model.hpp"

RWKV_NAMESPACE_BEGIN

/// Tokens of which the first are given and the others to be predicted, each from all before it. RWKV begins with an
/// empty State, so that at least one must be given: where none is, the end-of-text token stands for the beginning of a
/// document.
struct Passage {
  std::vector<Token> tokens;
  Index n_given = 1;  ///< 1 .. tokens.size()
};

/// What a model gave the tokens that were not given.
struct Score {
  double log_p = 0;  ///< sum of ln p
  Index n = 0;       ///< tokens
  Index n_best = 0;  ///< those that were the most likely one in their place

  void add(const Prediction& prediction) noexcept {
    log_p += prediction.log_p;
    ++n;
    n_best += prediction.is_best ? 1 : 0;
  }
};

/// How passages are read; figures differ by rounding only.
struct ScoreOptions {
  Index n_together = 8;  ///< >= 1; passages that are read as one batch: every weight is read once for all of them
};

/// Scores passages. on_score(index, score) is called when one is done, on_read(n_tokens) after each pass of the model
/// with how many tokens it read; where it returns false, reading ends, and so does this function with false.
///
/// Passages begin in their order, and one that ends makes room for the next. Needs a State for each of those read
/// together and 64 MiB for logits, whatever the length of the texts.
/// Throws ArgumentError, before anything is read, if a passage gives no token or more than it has, or a token is
/// outside the vocabulary, ModelError if the model gives NaN.
RWKV_API bool score(const Model& model, std::span<const Passage> passages,
                    FunctionRef<void(std::size_t, const Score&)> on_score, FunctionRef<bool(Index)> on_read,
                    Workspace& workspace, const ScoreOptions& options = {});

/// The same for two models over the same passages: how far b is from a in the places that are scored. The models take
/// turns, each with a workspace of its own.
/// Throws as score and Comparison::add, and ArgumentError if the models have different vocabularies.
RWKV_API bool compare(const Model& a, const Model& b, std::span<const Passage> passages,
                      FunctionRef<void(std::size_t, const Comparison&)> on_compared, FunctionRef<bool(Index)> on_read,
                      Workspace& workspace_a, Workspace& workspace_b, const ScoreOptions& options = {});

RWKV_NAMESPACE_END

#if RWKV_DEFINITIONS
#include <algorithm>
#include <cmath>
#include <string>

#include "rwkv/core/error.hpp"
#include "rwkv/nn/rows.hpp"

RWKV_NAMESPACE_BEGIN

namespace detail {

/// Tokens [first, first + n) of a passage, which are read at once.
struct PassagePiece {
  std::size_t passage;
  std::size_t slot;  // of the State
  std::size_t first, n;
  bool is_scored;  // whether what follows each of these tokens is
  bool is_last;
};

/// Which pieces of which passages go into the next pass.
class PassageQueue {
public:
  /// Of `n_rows` tokens in a pass the logits are wanted.
  PassageQueue(std::span<const Passage> passages, Index n_together, Index n_rows)
      : passages_(passages), n_rows_(static_cast<std::size_t>(n_rows)) {
    for (std::size_t slot = static_cast<std::size_t>(n_together); slot-- > 0;) free_.push_back(slot);
  }

  [[nodiscard]] std::span<const PassagePiece> next() {
    std::erase_if(pieces_, [this](const PassagePiece& piece) {
      if (piece.is_last) free_.push_back(piece.slot);
      return piece.is_last;
    });
    for (PassagePiece& piece : pieces_) piece.first += piece.n;
    for (; !free_.empty() && n_begun_ < passages_.size(); free_.pop_back()) {
      pieces_.push_back({n_begun_++, free_.back(), 0, 0, false, false});
    }
    for (PassagePiece& piece : pieces_) set_end(piece);
    return pieces_;
  }

private:
  void set_end(PassagePiece& piece) const noexcept {
    constexpr std::size_t most_unscored = 1024;
    const Passage& passage = passages_[piece.passage];
    const auto n_given = static_cast<std::size_t>(passage.n_given);
    const std::size_t end =
        passage.tokens.size() == n_given ? 0 : passage.tokens.size() - 1;  // nobody asks what follows
    piece.is_scored = piece.first + 1 >= n_given;
    piece.n = piece.is_scored
                  ? std::min(std::max<std::size_t>(n_rows_ / pieces_.size(), 1), end - std::min(end, piece.first))
                  : std::min({most_unscored, n_given - 1 - piece.first, end});
    piece.is_last = piece.first + piece.n >= end;
  }

  std::span<const Passage> passages_;
  std::size_t n_rows_;
  std::size_t n_begun_ = 0;
  std::vector<std::size_t> free_;
  std::vector<PassagePiece> pieces_;
};

/// One model that reads the pieces.
class PieceReader {
public:
  PieceReader(const Model& model, Index n_together, Workspace& workspace)
      : model_(model),
        workspace_(workspace),
        beginning_(model.new_state()),
        states_(static_cast<std::size_t>(n_together), beginning_) {}

  void read(std::span<const PassagePiece> pieces, std::span<const Passage> passages) {
    batch_.clear();
    for (const PassagePiece& piece : pieces) {
      State& state = states_[piece.slot];
      if (piece.first == 0) state = beginning_;
      const std::span tokens = std::span(passages[piece.passage].tokens).subspan(piece.first, piece.n);
      batch_.push_back({tokens, &state, piece.is_scored ? Logits::all : Logits::none});
    }
    model_.forward(batch_, workspace_);
  }

  /// Of each token of a piece that is scored, in the order in which they were read.
  [[nodiscard]] MatrixView<const float> logits(std::size_t piece) const noexcept { return batch_[piece].logits; }

private:
  const Model& model_;
  Workspace& workspace_;
  State beginning_;
  std::vector<State> states_;
  std::vector<Sequence> batch_;
};

inline void check_passages(const Model& model, std::span<const Passage> passages, const ScoreOptions& options) {
  if (options.n_together < 1) throw ArgumentError({.item = "n_together", .expected = "at least 1"});
  for (const Passage& passage : passages) {
    model.check(passage.tokens);
    const auto n = static_cast<Index>(passage.tokens.size());
    if (passage.n_given >= 1 && passage.n_given <= n) continue;
    throw ArgumentError({.item = "passage",
                         .expected = "1 to " + std::to_string(n) + " given tokens, as it has so many",
                         .found = std::to_string(passage.n_given)});
  }
}

/// How many rows of logits are made at once.
[[nodiscard]] inline Index n_logit_rows(const Model& model) noexcept {
  constexpr Index n_bytes = Index{64} << 20, most = 256;
  return std::clamp(n_bytes / (model.config().n_vocab * static_cast<Index>(sizeof(float))), Index{1}, most);
}

[[nodiscard]] inline Index n_tokens(std::span<const PassagePiece> pieces) noexcept {
  std::size_t n = 0;
  for (const PassagePiece& piece : pieces) n += piece.n;
  return static_cast<Index>(n);
}

}  // namespace detail

RWKV_API bool score(const Model& model, std::span<const Passage> passages,
                    FunctionRef<void(std::size_t, const Score&)> on_score, FunctionRef<bool(Index)> on_read,
                    Workspace& workspace, const ScoreOptions& options) {
  detail::check_passages(model, passages, options);
  const Index n_together = std::min(options.n_together, std::max(std::ssize(passages), std::ptrdiff_t{1}));
  detail::PassageQueue queue(passages, n_together, detail::n_logit_rows(model));
  detail::PieceReader reader(model, n_together, workspace);
  std::vector<Score> scores(passages.size());
  std::vector<Prediction> predictions;
  for (auto pieces = queue.next(); !pieces.empty(); pieces = queue.next()) {
    reader.read(pieces, passages);
    for (std::size_t i = 0; i < pieces.size(); ++i) {
      const MatrixView<const float> logits = reader.logits(i);
      const Token* const next = passages[pieces[i].passage].tokens.data() + pieces[i].first + 1;
      predictions.resize(static_cast<std::size_t>(logits.n_rows));
      for_rows(logits.n_rows, workspace, [&](Index row) {
        predictions[static_cast<std::size_t>(row)] = predict(logits.rows(row, 1).span(), next[row]);
      });
      Score& found = scores[pieces[i].passage];
      for (const Prediction& prediction : predictions) found.add(prediction);
      if (std::isnan(found.log_p)) {
        throw ModelError({.item = "logits", .expected = "numbers", .found = "NaN or infinity"});
      }
      if (pieces[i].is_last) on_score(pieces[i].passage, found);
    }
    if (!on_read(detail::n_tokens(pieces))) return false;
  }
  return true;
}

RWKV_API bool compare(const Model& a, const Model& b, std::span<const Passage> passages,
                      FunctionRef<void(std::size_t, const Comparison&)> on_compared, FunctionRef<bool(Index)> on_read,
                      Workspace& workspace_a, Workspace& workspace_b, const ScoreOptions& options) {
  if (a.config().n_vocab != b.config().n_vocab) {
    throw ArgumentError({.item = "models",
                         .expected = "the same vocabulary, of " + std::to_string(a.config().n_vocab) + " tokens",
                         .found = std::to_string(b.config().n_vocab)});
  }
  detail::check_passages(a, passages, options);
  const Index n_together = std::min(options.n_together, std::max(std::ssize(passages), std::ptrdiff_t{1}));
  detail::PassageQueue queue(passages, n_together, detail::n_logit_rows(a));
  detail::PieceReader reader_a(a, n_together, workspace_a), reader_b(b, n_together, workspace_b);
  std::vector<Comparison> comparisons(passages.size());
  for (auto pieces = queue.next(); !pieces.empty(); pieces = queue.next()) {
    reader_a.read(pieces, passages);
    reader_b.read(pieces, passages);
    for (std::size_t i = 0; i < pieces.size(); ++i) {
      const MatrixView<const float> logits_a = reader_a.logits(i), logits_b = reader_b.logits(i);
      const Token* const next = passages[pieces[i].passage].tokens.data() + pieces[i].first + 1;
      Comparison& found = comparisons[pieces[i].passage];
      for (Index row = 0; row < logits_a.n_rows; ++row) {
        found.add(logits_a.rows(row, 1).span(), logits_b.rows(row, 1).span(), next[row]);
      }
      if (!pieces[i].is_last) continue;
      on_compared(pieces[i].passage, found);
      found = Comparison();  // frees its memory
    }
    if (!on_read(detail::n_tokens(pieces))) return false;
  }
  return true;
}

RWKV_NAMESPACE_END
#endif
