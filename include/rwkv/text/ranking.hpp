// SPDX-License-Identifier: MIT
// Which token is the most likely, the second, the third: sorted only as far as somebody asks.
#pragma once

#include <algorithm>
#include <array>
#include <limits>
#include <span>
#include <vector>

#include "rwkv/version.hpp"

RWKV_NAMESPACE_BEGIN

/// The tokens in descending order of their logits, equal logits in ascending order of their ids.
///
/// Of 65536 tokens a sampler looks at a few. So those within 8 of the maximum are taken first, the others when a rank
/// behind them is asked for. A counting sort puts them into buckets by their distance to the maximum; a bucket is
/// sorted when a rank in it is first asked for. No allocation after the first call with the same number of logits.
class Ranking {
public:
  /// A token that may be drawn.
  struct Candidate {
    float logit;
    Token token;
  };

  /// Takes the tokens whose logit is not -infinity. No logit may be NaN or above `maximum`, which must be finite.
  /// The logits must stay as they are while ranks are asked for.
  void assign(std::span<const float> logits, float maximum) {
    logits_ = logits;
    maximum_ = maximum;
    found_.reserve(logits.size());
    candidates_.reserve(logits.size());
    take(near);
  }

  [[nodiscard]] Index size() const noexcept { return n_; }

  /// The candidate of a rank, 0 .. size() - 1.
  [[nodiscard]] const Candidate& operator[](Index rank) {
    const auto position = static_cast<std::size_t>(rank);
    if (position >= candidates_.size()) take(std::numeric_limits<float>::infinity());
    while (position >= n_sorted_) sort_next_bucket();
    return candidates_[position];
  }

  /// All candidates in some order, in which those of the ranks asked for so far come first and are sorted.
  [[nodiscard]] std::span<const Candidate> candidates() {
    const std::size_t n_asked = n_sorted_;
    if (candidates_.size() < static_cast<std::size_t>(n_)) take(std::numeric_limits<float>::infinity());
    while (n_sorted_ < n_asked) sort_next_bucket();
    return candidates_;
  }

private:
  static constexpr float minus_infinity = -std::numeric_limits<float>::infinity();
  static constexpr float near = 8;
  static constexpr std::size_t n_buckets = 2048;
  static constexpr float buckets_per_unit = 64;  // the last bucket takes what is 32 and more below: p < 1.3e-14 p_max

  /// Monotone in the logit, because float subtraction and multiplication are.
  [[nodiscard]] std::size_t bucket(float logit) const noexcept {
    const float position = (maximum_ - logit) * buckets_per_unit;  // may be infinite: compared before it is converted
    constexpr std::size_t last = n_buckets - 1;
    return position < static_cast<float>(last) ? static_cast<std::size_t>(position) : last;
  }

  /// Makes the tokens that far below the maximum candidates, in buckets that are not sorted.
  void take(float distance) {
    found_.clear();
    n_ = 0;
    for (std::size_t i = 0; i < logits_.size(); ++i) {
      const bool is_finite = logits_[i] > minus_infinity;
      n_ += is_finite ? 1 : 0;
      if (maximum_ - logits_[i] <= distance && is_finite) found_.push_back(static_cast<Token>(i));
    }
    std::array<std::size_t, n_buckets> counts{};
    const auto logit = [this](Token token) { return logits_[static_cast<std::size_t>(token)]; };
    for (const Token token : found_) ++counts[bucket(logit(token))];
    std::size_t n = 0;
    for (std::size_t i = 0; i < n_buckets; ++i) {
      ends_[i] = n;  // for now the begin: the loop below moves it
      n += counts[i];
    }
    candidates_.resize(n);
    for (const Token token : found_) candidates_[ends_[bucket(logit(token))]++] = {logit(token), token};
    n_sorted_ = 0;
    next_bucket_ = 0;
  }

  void sort_next_bucket() {
    const std::size_t end = ends_[next_bucket_++];
    std::sort(candidates_.begin() + static_cast<Index>(n_sorted_), candidates_.begin() + static_cast<Index>(end),
              [](const Candidate& a, const Candidate& b) {
                return a.logit != b.logit ? a.logit > b.logit : a.token < b.token;
              });
    n_sorted_ = end;
  }

  std::span<const float> logits_;
  float maximum_ = 0;
  Index n_ = 0;
  std::vector<Token> found_;  // those that become candidates, by their ids
  std::vector<Candidate> candidates_;
  std::array<std::size_t, n_buckets> ends_{};  // of each bucket in candidates_
  std::size_t n_sorted_ = 0, next_bucket_ = 0;
};

RWKV_NAMESPACE_END
