// SPDX-License-Identifier: MIT
// What happens in a model while it reads a text: how much each token surprises it and what it expected instead, how its
// State fills, how fast it forgets, and how many of its hidden units are zero.
#pragma once

#include <cmath>
#include <limits>
#include <numbers>
#include <optional>
#include <span>
#include <vector>

#include "rwkv/core/function_ref.hpp"
#include "rwkv/core/linkage.hpp"
#include "rwkv/inspect/half_life.hpp"
#include "rwkv/io/checkpoint.hpp"
#include "rwkv/model.hpp"

RWKV_NAMESPACE_BEGIN

/// A token and how likely the model thought it.
struct LikelyToken {
  Token token;
  double log_p;  ///< ln p, given all tokens before

  [[nodiscard]] double p() const noexcept { return std::exp(log_p); }
  /// Its surprise in bits, -log2 p.
  [[nodiscard]] double bits() const noexcept { return -log_p * std::numbers::log2e; }
};

/// A place in a text. The first token has none before it: its log_p is NaN, its rank 0, and nothing was expected.
struct TracedToken {
  LikelyToken found = {0, std::numeric_limits<double>::quiet_NaN()};
  Index rank = 0;                          ///< 1: no other was likelier, nor as likely with a lower id
  std::vector<LikelyToken> expected = {};  ///< the likeliest in this place, the likeliest first
};

struct TextTraceOptions {
  Index n_expected = 5;  ///< >= 0; tokens in each TracedToken::expected
  Index n_norms = 256;   ///< >= 1; how often norms are taken at most: every token, every second, ...
};

struct TextTrace {
  std::vector<TracedToken> tokens = {};  ///< T
  std::vector<LikelyToken> next = {};    ///< what is expected after the last

  Index n_head = 0;                     ///< of the norms: 1 in RWKV-2 to 4, 0 in RWKV-1
  std::vector<Index> norms_after = {};  ///< [P] ascending: after how many tokens norms were taken; the last is T
  std::vector<double> norms = {};       ///< [P, n_layer, n_head] of LayerMemory; 0 for layers that have none

  Decays decays = {};                                   ///< those of the text, where they depend on it
  std::vector<std::optional<double>> zero_shares = {};  ///< [n_layer], see ZeroShare
  State state;                                          ///< after the last token
};

/// Reads a text from the beginning with a model made from this checkpoint, and watches it.
///
/// on_read(n_tokens) is called after each piece with how many tokens it had; where it returns false, reading ends and
/// there is no result. Memory: T * n_expected candidates, P * n_layer * n_head norms, a State. Products are observed
/// meanwhile: an observer of the caller's is gone afterwards.
/// Throws ArgumentError if there is no text, a token is outside the vocabulary, the text is longer than the context of
/// a model that has a fixed one, or an option is out of its range; ModelError if the model gives NaN.
[[nodiscard]] RWKV_API std::optional<TextTrace> trace_text(const Model& model, const Checkpoint& checkpoint,
                                                           std::span<const Token> text,
                                                           FunctionRef<bool(Index)> on_read, Workspace& workspace,
                                                           const TextTraceOptions& options = {});

RWKV_NAMESPACE_END

#if RWKV_DEFINITIONS
#include <algorithm>
#include <cstddef>
#include <unordered_map>
#include <utility>

#include "rwkv/core/error.hpp"
#include "rwkv/eval/prediction.hpp"
#include "rwkv/eval/text_windows.hpp"
#include "rwkv/inspect/layer_memory.hpp"
#include "rwkv/inspect/zero_share.hpp"
#include "rwkv/nn/linear.hpp"
#include "rwkv/text/ranking.hpp"

RWKV_NAMESPACE_BEGIN

namespace detail {

/// The mean log-decays of the layers over what they read. The narrow rows tanh(z w1) are kept when they meet w2, and
/// the rest of the equation is computed after the pass.
class DecayMeans {
public:
  DecayMeans(const Checkpoint& checkpoint, const Config& config) : decays_(stored_decays(checkpoint, config)) {
    generation_ = config.generation;
    if (!has_decay_by_input(generation_)) return;
    decays_.source = DecaySource::text;
    for (Index i = 0; i < config.n_layer; ++i) {
      const auto [bias, up] = decay_names(generation_, i);
      layers_.push_back({read_all<double>(checkpoint.at(bias)), Linear::by_input(checkpoint.at(up))});
      layer_of_.emplace(checkpoint.at(up).data, static_cast<std::size_t>(i));
      std::ranges::fill(decays_.layers[static_cast<std::size_t>(i)], 0.0);
    }
  }

  void keep(const TensorView& weight, MatrixView<const float> x) {
    const auto found = layer_of_.find(weight.data);
    if (found == layer_of_.end()) return;
    std::vector<float>& rows = layers_[found->second].rows;
    rows.insert(rows.end(), x.span().begin(), x.span().end());
  }

  /// Adds up what was kept. Nobody observes the products of the workspace meanwhile.
  void add(Workspace& workspace) {
    for (std::size_t i = 0; i < layers_.size(); ++i) {
      auto& [bias, up, rows] = layers_[i];
      Workspace::Frame frame(workspace);
      const MatrixView<const float> low{rows.data(), std::ssize(rows) / up.n_in(), up.n_in()};
      const auto y = frame.template matrix<float>(low.n_rows, up.n_out());
      up.apply<float>(low, y, workspace);
      for (Index row = 0; row < y.n_rows; ++row) {
        for (Index c = 0; c < y.n_cols; ++c) {
          decays_.layers[i][static_cast<std::size_t>(c)] += log_decay(generation_, bias[c] + y.row(row)[c]);
        }
      }
      rows.clear();
    }
  }

  [[nodiscard]] Decays result(std::size_t n_tokens) && {
    if (!layers_.empty()) {
      for (auto& layer : decays_.layers) {
        for (double& sum : layer) sum /= static_cast<double>(n_tokens);
      }
    }
    return std::move(decays_);
  }

private:
  struct Layer {
    Buffer<double> bias;
    Linear up;
    std::vector<float> rows = {};  // [T, D] of this pass
  };

  Decays decays_;
  Generation generation_;
  std::vector<Layer> layers_;
  std::unordered_map<const std::byte*, std::size_t> layer_of_;  // by the weights of `up`
};

/// What logits [n_vocab] say: the likeliest tokens, and the one that came.
class Expectation {
public:
  /// Throws ModelError for NaN.
  Expectation(std::span<const float> logits, Ranking& ranking) : logits_(logits), ranking_(ranking) {
    const auto best = static_cast<Token>(std::ranges::max_element(logits) - logits.begin());
    best_ = {best, predict(logits, best).log_p};
    if (std::isnan(best_.log_p)) {
      throw ModelError({.item = "logits", .expected = "numbers", .found = "NaN or infinity"});
    }
    ranking_.assign(logits, logit(best));
  }

  [[nodiscard]] LikelyToken operator[](Token token) const noexcept {
    return {token, best_.log_p - (static_cast<double>(logit(best_.token)) - logit(token))};
  }
  [[nodiscard]] std::vector<LikelyToken> likeliest(Index n) {
    std::vector<LikelyToken> result;
    for (Index i = 0; i < std::min(n, ranking_.size()); ++i) result.push_back((*this)[ranking_[i].token]);
    return result;
  }
  [[nodiscard]] Index rank(Token token) const noexcept {
    const float own = logit(token);
    Index n = 1;
    for (Token other = 0; other < std::ssize(logits_); ++other) {
      if (logit(other) > own || (logit(other) == own && other < token)) ++n;
    }
    return n;
  }

private:
  [[nodiscard]] float logit(Token token) const noexcept { return logits_[static_cast<std::size_t>(token)]; }

  std::span<const float> logits_;
  Ranking& ranking_;
  LikelyToken best_;
};

/// Appends a row of norms.
inline void take_norms(const Config& config, Index n_read, TextTrace& trace) {
  trace.norms_after.push_back(n_read);
  for (Index layer = 0; layer < config.n_layer; ++layer) {
    std::vector<double> norms = layer_memory(trace.state, config, layer).norms();
    norms.resize(static_cast<std::size_t>(trace.n_head));
    trace.norms.insert(trace.norms.end(), norms.begin(), norms.end());
  }
}

/// What a piece of the text, which ends before token `end`, says of the tokens after each of its own.
inline void take_logits(MatrixView<const float> logits, std::size_t end, const TextTraceOptions& options,
                        Ranking& ranking, TextTrace& trace) {
  for (Index row = 0; row < logits.n_rows; ++row) {
    Expectation expectation(logits.rows(row, 1).span(), ranking);
    const std::size_t place = end - static_cast<std::size_t>(logits.n_rows - row - 1);
    if (place == trace.tokens.size()) {
      trace.next = expectation.likeliest(options.n_expected);
    } else {
      TracedToken& next = trace.tokens[place];
      next = {expectation[next.found.token], expectation.rank(next.found.token),
              expectation.likeliest(options.n_expected)};
    }
  }
}

inline void check_trace(std::span<const Token> text, const TextTraceOptions& options) {
  if (text.empty()) throw ArgumentError({.item = "text", .problem = "is empty"});
  if (options.n_expected >= 0 && options.n_norms >= 1) return;
  throw ArgumentError({.item = "TextTraceOptions", .expected = "n_expected of at least 0, n_norms of at least 1"});
}

}  // namespace detail

RWKV_API std::optional<TextTrace> trace_text(const Model& model, const Checkpoint& checkpoint,
                                             std::span<const Token> text, FunctionRef<bool(Index)> on_read,
                                             Workspace& workspace, const TextTraceOptions& options) {
  struct Observation {
    Workspace& workspace;
    ~Observation() { workspace.observe_products(nullptr); }
  };
  detail::check_trace(text, options);
  model.check(text);
  const Config& config = model.config();
  TextTrace trace{.state = model.new_state()};
  trace.n_head = config.generation == Generation::v1 ? 0 : config.generation < Generation::v5_0 ? 1 : config.n_head;
  for (const Token token : text) trace.tokens.push_back({{token, std::numeric_limits<double>::quiet_NaN()}});
  ZeroShare zeros(checkpoint, config);
  detail::DecayMeans decays(checkpoint, config);
  Ranking ranking;
  const auto n_text = std::ssize(text);
  const Index n_between = (n_text + options.n_norms - 1) / options.n_norms;  // norms
  const Index n_piece = std::min(n_between, TextWindows::window_size(model));
  for (Index n_read = 0; n_read < n_text;) {
    const Index n = std::min({n_piece, n_between - n_read % n_between, n_text - n_read});
    Sequence piece{text.subspan(static_cast<std::size_t>(n_read), static_cast<std::size_t>(n)), &trace.state,
                   Logits::all};
    {
      const Observation observation{workspace};
      workspace.observe_products([&](const TensorView& weight, MatrixView<const float> x) {
        zeros.add(weight, x);
        decays.keep(weight, x);
      });
      model.forward(std::span(&piece, 1), workspace);
    }
    n_read += n;
    detail::take_logits(piece.logits, static_cast<std::size_t>(n_read), options, ranking, trace);
    decays.add(workspace);
    if (n_read % n_between == 0 || n_read == n_text) detail::take_norms(config, n_read, trace);
    if (!on_read(n)) return std::nullopt;
  }
  trace.decays = std::move(decays).result(text.size());
  trace.zero_shares = zeros.by_layer();
  return trace;
}

RWKV_NAMESPACE_END
#endif
