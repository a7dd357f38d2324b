// SPDX-License-Identifier: MIT
// Texts as vectors: what is alike in meaning lies near.
#pragma once

#include <cmath>
#include <span>
#include <vector>

#include "rwkv/core/linkage.hpp"
#include "rwkv/model.hpp"

RWKV_NAMESPACE_BEGIN

/// The embeddings [n_texts, n_embd] of texts that are given as tokens:
///
///   e = m / |m|,   m = mean over the tokens t of y_t
///
/// where y_t is the output of the last layer after ln_out (Model::forward_hidden), in sums of double. Each text begins
/// with an empty State; all are read as batches, and any other text beside it changes an embedding by rounding only.
/// The product of two of them is the cosine of the angle between. No RWKV is trained for this: likeness is that of
/// topic and style more than that of meaning. A text whose mean is 0 has the embedding 0.
/// Throws ArgumentError, before anything is read, if a text has no tokens or one outside the vocabulary.
[[nodiscard]] RWKV_API std::vector<std::vector<float>> embed(const Model& model,
                                                             std::span<const std::vector<Token>> texts,
                                                             Workspace& workspace);

RWKV_NAMESPACE_END

#if RWKV_DEFINITIONS
#include <algorithm>
#include <string>

#include "rwkv/core/error.hpp"

RWKV_NAMESPACE_BEGIN

namespace detail {

/// The sum of the rows, added to `sum`.
inline void add_rows(MatrixView<const float> rows, std::span<double> sum) noexcept {
  for (Index row = 0; row < rows.n_rows; ++row) {
    for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += rows.row(row)[i];
  }
}

/// The vector of length 1 in the direction of a sum, which is also that of the mean.
[[nodiscard]] inline std::vector<float> normalised(std::span<const double> sum) {
  double square = 0;
  for (const double value : sum) square += value * value;
  const double factor = square > 0 ? 1 / std::sqrt(square) : 0;
  std::vector<float> result(sum.size());
  std::ranges::transform(sum, result.begin(), [factor](double value) { return static_cast<float>(value * factor); });
  return result;
}

}  // namespace detail

RWKV_API std::vector<std::vector<float>> embed(const Model& model, std::span<const std::vector<Token>> texts,
                                               Workspace& workspace) {
  constexpr std::size_t n_together = 16, piece = 1024;  // texts, and tokens of each
  for (const std::vector<Token>& text : texts) {
    model.check(text);
    if (text.empty()) throw ArgumentError({.item = "text", .expected = "at least one token", .found = "none"});
  }
  std::vector<std::vector<float>> result;
  std::vector<State> states(std::min(n_together, texts.size()), model.new_state());
  const State beginning = model.new_state();
  std::vector<Sequence> batch;
  for (; result.size() < texts.size();) {
    const auto group = texts.subspan(result.size(), std::min(n_together, texts.size() - result.size()));
    std::size_t longest = 0;
    for (const std::vector<Token>& text : group) longest = std::max(longest, text.size());
    std::vector<std::vector<double>> sums(group.size(),
                                          std::vector<double>(static_cast<std::size_t>(model.config().n_embd)));
    std::fill(states.begin(), states.end(), beginning);
    for (std::size_t first = 0; first < longest; first += piece) {
      batch.clear();
      for (std::size_t i = 0; i < group.size(); ++i) {
        const std::size_t begin = std::min(first, group[i].size()), n = std::min(piece, group[i].size() - begin);
        batch.push_back({std::span(group[i]).subspan(begin, n), &states[i], Logits::all});
      }
      model.forward_hidden(batch, workspace);
      for (std::size_t i = 0; i < group.size(); ++i) detail::add_rows(batch[i].hidden, sums[i]);
    }
    for (const std::vector<double>& sum : sums) result.push_back(detail::normalised(sum));
  }
  return result;
}

RWKV_NAMESPACE_END
#endif
