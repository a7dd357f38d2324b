// SPDX-License-Identifier: MIT
// How far the predictions of one model are from those of another: of a quantised copy from its original, say.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "rwkv/core/error.hpp"
#include "rwkv/core/portable_math.hpp"
#include "rwkv/version.hpp"

RWKV_NAMESPACE_BEGIN

/// What a Comparison found. Divergences are in nats and were rounded to float; all numbers are 0 where nothing was
/// compared, perplexities 1.
struct ComparisonResult {
  Index n = 0;         ///< places in the text
  double mean_kl = 0;  ///< of KL(a || b) over the places
  double kl_99 = 0;    ///< 99 of 100 places have at most this: the smallest such value among them
  double max_kl = 0;   ///< of the worst place
  double top1_agreement =
      0;                    ///< share of the places where both find the same token the most likely; of a tie the lower
  double perplexity_a = 1;  ///< exp(mean of -ln p(next token)), of the first model
  double perplexity_b = 1;  ///< of the second
  double perplexity_ratio = 1;  ///< perplexity_b / perplexity_a: above 1 if b is worse
};

/// Collects, place by place, how the distribution q of a model b differs from the p of a model a:
///
///   KL(a || b) = sum_i p_i (ln p_i - ln q_i)       p = softmax(logits_a), q = softmax(logits_b)
///
/// in double, from ln p_i = logit_i - max - ln sum_j exp(logit_j - max), so that no logit is too large. Where p_i = 0
/// the term is 0; where q_i = 0 and p_i is not, the divergence is infinite. Rounding leaves an error of about 1e-15
/// times the largest distance between logits; what would be below 0 is 0.
///
/// A value, 4 bytes for each place. Not for several threads at once: give each its own, and merge them.
class Comparison {
public:
  Comparison() = default;
  /// What another one collected, from its parts.
  Comparison(std::vector<float> divergences, double log_p_a, double log_p_b, Index n_agreed)
      : divergences_(std::move(divergences)), log_p_a_(log_p_a), log_p_b_(log_p_b), n_agreed_(n_agreed) {}

  /// Room for so many places: add() allocates nothing until they are full, and rarely then.
  void reserve(Index n_places) { divergences_.reserve(static_cast<std::size_t>(std::max<Index>(n_places, 0))); }

  /// A place where both models have read the same; `next` is what the text goes on with. Logits are [n_vocab].
  /// Throws ArgumentError, and changes nothing, if the sizes differ, the token is outside the vocabulary, or a logit is
  /// NaN or infinite upwards, or all are infinite downwards.
  void add(std::span<const float> logits_a, std::span<const float> logits_b, Token next);

  /// Adds the places of another comparison behind these.
  void merge(const Comparison& other);

  [[nodiscard]] ComparisonResult result() const;

  /// KL(a || b) of each place, in the order in which they came, rounded to float.
  [[nodiscard]] std::span<const float> divergences() const noexcept { return divergences_; }
  [[nodiscard]] double log_p_a() const noexcept { return log_p_a_; }   ///< sum of ln p(next token), of the first model
  [[nodiscard]] double log_p_b() const noexcept { return log_p_b_; }   ///< of the second
  [[nodiscard]] Index n_agreed() const noexcept { return n_agreed_; }  ///< places with the same most likely token

private:
  static std::size_t most_likely(std::span<const float> logits);
  static void check(std::span<const float> a, std::span<const float> b, Token next);

  std::vector<float> divergences_;
  double log_p_a_ = 0, log_p_b_ = 0;
  Index n_agreed_ = 0;
};

inline void Comparison::check(std::span<const float> a, std::span<const float> b, Token next) {
  if (a.size() != b.size()) {
    throw ArgumentError({.item = "logits",
                         .problem = "of the two models differ in number",
                         .expected = std::to_string(a.size()),
                         .found = std::to_string(b.size())});
  }
  if (static_cast<std::size_t>(next) < a.size()) return;  // a negative token becomes a huge number
  throw ArgumentError({.item = "next token",
                       .expected = "one below " + std::to_string(a.size()) + ", as there are logits",
                       .found = std::to_string(next)});
}

inline std::size_t Comparison::most_likely(std::span<const float> logits) {
  constexpr float infinity = std::numeric_limits<float>::infinity();
  const auto is_number = [](float logit) { return logit < infinity; };  // false for NaN, true for -infinity
  const auto best = std::ranges::max_element(logits);
  if (!std::ranges::all_of(logits, is_number) || *best == -infinity) {
    throw ArgumentError({.item = "logits", .expected = "numbers or -infinity, not all of them", .found = "others"});
  }
  return static_cast<std::size_t>(best - logits.begin());
}

inline void Comparison::add(std::span<const float> logits_a, std::span<const float> logits_b, Token next) {
  check(logits_a, logits_b, next);
  const std::size_t best_a = most_likely(logits_a), best_b = most_likely(logits_b);
  const double max_a = logits_a[best_a], max_b = logits_b[best_b];
  double sum_a = 0, sum_b = 0, moment = 0;  // moment / sum_a is the mean of what stands in it, by p
  for (std::size_t i = 0; i < logits_a.size(); ++i) {
    const double below_a = max_a - logits_a[i], below_b = max_b - logits_b[i], w = exp_minus(below_a);
    sum_a += w;
    sum_b += exp_minus(below_b);
    if (w > 0) moment += w * (below_b - below_a);
  }
  const double log_a = std::log(sum_a), log_b = std::log(sum_b);
  divergences_.push_back(static_cast<float>(std::max(moment / sum_a - log_a + log_b, 0.0)));
  log_p_a_ += logits_a[static_cast<std::size_t>(next)] - max_a - log_a;
  log_p_b_ += logits_b[static_cast<std::size_t>(next)] - max_b - log_b;
  n_agreed_ += best_a == best_b ? 1 : 0;
}

inline void Comparison::merge(const Comparison& other) {
  divergences_.insert(divergences_.end(), other.divergences_.begin(), other.divergences_.end());
  log_p_a_ += other.log_p_a_;
  log_p_b_ += other.log_p_b_;
  n_agreed_ += other.n_agreed_;
}

inline ComparisonResult Comparison::result() const {
  if (divergences_.empty()) return {};
  const auto n = static_cast<Index>(divergences_.size());
  std::vector<float> sorted = divergences_;
  const Index rank = (n * 99 + 99) / 100 - 1;  // ceil(0.99 n), counted from 0
  const auto at_rank = sorted.begin() + rank;
  std::nth_element(sorted.begin(), at_rank, sorted.end());
  const auto mean = [n](double sum) { return sum / static_cast<double>(n); };
  return {.n = n,
          .mean_kl = mean(std::accumulate(divergences_.begin(), divergences_.end(), 0.0)),
          .kl_99 = *at_rank,
          .max_kl = *std::max_element(at_rank, sorted.end()),
          .top1_agreement = mean(static_cast<double>(n_agreed_)),
          .perplexity_a = std::exp(-mean(log_p_a_)),
          .perplexity_b = std::exp(-mean(log_p_b_)),
          .perplexity_ratio = std::exp(mean(log_p_a_) - mean(log_p_b_))};
}

RWKV_NAMESPACE_END
